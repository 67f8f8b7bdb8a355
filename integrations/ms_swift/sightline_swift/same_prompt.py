"""Compares ms-swift's prompts with sightline's once, if Node is available. Different prompts have different ratios."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .errors import SightlineError
from .server import RewardServer
from .telling import Tell

#: Maximum number of prompts that are compared.
MOST = 8


def compare_prompts(samples: Sequence[dict[str, Any]], model_dir: str, server: RewardServer, tell: Tell) -> None:
    """Reports the first difference, or that there is none. Also reports a prompt that sightline cannot read."""
    distinct = list({tuple(sample["prompt_ids"]): sample for sample in samples}.values())[:MOST]
    rows = [
        {name: sample["rows"][name] for name in ("messages", "images", "objects", "tools") if sample["rows"].get(name)}
        for sample in distinct
    ]
    request = {
        "model": model_dir,
        "rows": rows,
        **{limit: int(os.environ[limit.upper()]) if os.environ.get(limit.upper()) else None for limit in ("min_pixels", "max_pixels")},
    }
    try:
        theirs = server.ask("/encode", request)["prompt_ids"]
    except SightlineError as error:
        tell("warn", f"prompts could not be compared with those of sightline: {error}")
        return
    for i, (sample, other) in enumerate(zip(distinct, theirs)):
        ours = list(sample["prompt_ids"])
        if ours != other:
            tell("warn", difference(ours, other, i))
            return
    tell("info", f"prompt ids: {len(distinct)} of {len(distinct)} as sightline makes them")


def difference(ours: Sequence[int], theirs: Sequence[int], prompt: int) -> str:
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return (
        f"prompt {prompt} of the first step has {len(ours)} tokens here and {len(theirs)} in sightline; the first difference is "
        f"at position {at} (here {list(ours[at : at + 8])}, in sightline {list(theirs[at : at + 8])}), so ratios are not comparable. "
        "Compare MIN_PIXELS and MAX_PIXELS, --system and --template."
    )
