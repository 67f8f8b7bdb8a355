"""The attention reward in Python, for machines without Node. Numbers and messages equal those of the TypeScript reward."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .ratio import rewards_of_ratios
from .settings import Settings


@dataclass
class Verdict:
    """The result of a reward for the completions of all ranks."""

    values: list[float | None]
    metrics: dict[str, float] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    #: Messages, each as (level, line).
    lines: list[tuple[str, str]] = field(default_factory=list)


def judge_ratios(
    ratios: Sequence[float | None], reasons: Sequence[str | None], group_size: int, settings: Settings
) -> Verdict:
    defined = [ratio for ratio in ratios if ratio is not None]
    metrics = {"attention/undefined_frac": 1 - len(defined) / len(ratios)}
    if defined:
        metrics["attention/tdr_mean"] = statistics.fmean(defined)
        metrics["attention/tdr_std"] = statistics.stdev(defined) if len(defined) > 1 else 0.0
    lines = [
        (
            "info",
            f"DDAPOAttentionORM: a sample has no ratio ({reason}); its reward is null. attention/undefined_frac counts them.",
        )
        for reason in dict.fromkeys(reason for reason in reasons if reason is not None)
    ]
    if settings.group_norm:
        lines.append(
            (
                "info",
                "DDAPOAttentionORM: group-normalised form: the mean is 0 in every group by construction, so "
                "rewards/DDAPOAttentionORM/mean reads 0 although all is well. Watch attention/tdr_mean.",
            )
        )
    rewards = rewards_of_ratios(ratios, group_size, center=settings.reward_center, group_norm=settings.group_norm)
    return Verdict(rewards, metrics, {"tdr": list(ratios)}, lines)
