"""The limits of picture sizes. Unequal ones change the prompt, and TDR with it: by a fifth in a trial."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SightlineError

#: The names in a processor's files, older and newer.
_LIMITS = {"MIN_PIXELS": ("min_pixels", "shortest_edge"), "MAX_PIXELS": ("max_pixels", "longest_edge")}


def require_pixel_limits(model_dir: str, env: Mapping[str, str] | None = None) -> None:
    """ms-swift reads both from the environment before there is a trainer, and has defaults of its own for a missing one.

    :raises SightlineError: with the line to write, which has the checkpoint's limits
    """
    env = os.environ if env is None else env
    missing = [name for name in _LIMITS if not env.get(name)]
    if not missing:
        return
    stated = checkpoint_limits(model_dir)
    given = " ".join(f"{name}={env.get(name) or stated.get(name, 'N')}" for name in _LIMITS)
    raise SightlineError(
        f"{' and '.join(missing)} not set: ms-swift would resize pictures by its own limits, not by the checkpoint's, and "
        "prompts and ratios would not be those of `sightline`",
        f"export {given}    (the limits of {model_dir})" if stated else f"export {given}, with the limits you want",
    )


def checkpoint_limits(model_dir: str) -> dict[str, int]:
    """Pixels by the name of the environment variable; empty where the checkpoint says nothing."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = Path(model_dir) / name
        if not path.is_file():
            continue
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config = config.get("image_processor", config)
        size = config.get("size") or {}
        found = {
            variable: config.get(old) if config.get(old) is not None else size.get(new)
            for variable, (old, new) in _LIMITS.items()
        }
        return {variable: int(value) for variable, value in found.items() if value is not None}
    return {}
