"""The text-dominance ratio of a completion from its attention masses, and the three forms of the reward.

Uses the formulas of src/attention/tdr.ts and src/rewards/ddapo_attention/forms.ts, for machines without Node.
tests/test_ratio.py compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .errors import SightlineError
from .spans import Spans

EPS = 1e-6


def ratio_of_masses(masses: np.ndarray | None, spans: Spans) -> tuple[float | None, str | None]:
    """TDR and None, or None and the reason why there is no TDR.

    :param masses: (layers, T, 2): attention of each completion row to all visual columns and to all text columns, as the mean
        over heads; None if the forward returned none
    """
    if spans.undefined is not None:
        return None, spans.undefined
    if masses is None or len(masses) == 0:
        return None, "no attentions"
    raw = masses.astype(np.float64)
    share = raw / (raw.sum(-1, keepdims=True) + EPS)
    visual, text = share.mean(axis=(0, 1))
    rho_vis, rho_text = visual / len(spans.visual), text / len(spans.text)
    ratio = float(rho_text / (rho_vis + EPS))
    return (ratio, None) if math.isfinite(ratio) else (None, "attention is not finite")


def rewards_of_ratios(
    ratios: Sequence[float | None], group_size: int, *, center: bool = False, group_norm: bool = False
) -> list[float | None]:
    """One reward per ratio, group after group; None if there is no ratio."""
    if not group_norm:
        return [None if tdr is None else -(tdr - 1) if center else -tdr for tdr in ratios]
    if len(ratios) % group_size != 0:
        raise SightlineError(
            f"ddapo_attention got {len(ratios)} completions, which is not a multiple of num_generations {group_size}",
            "the group-normalised form needs whole groups",
        )
    rewards: list[float | None] = []
    for first in range(0, len(ratios), group_size):
        group = ratios[first : first + group_size]
        defined = [tdr for tdr in group if tdr is not None]
        mean = sum(defined) / max(len(defined), 1)
        std = math.sqrt(sum((tdr - mean) ** 2 for tdr in defined) / max(len(defined), 1))
        rewards += [None if tdr is None else -(tdr - mean) / (std + EPS) for tdr in group]
    return rewards
