"""Requires limits of image sizes. Other limits change the prompt and TDR with it, in a trial by a fifth."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SightlineError

#: Names of the limits in a processor's files, the older and the newer one.
_LIMITS = {"MIN_PIXELS": ("min_pixels", "shortest_edge"), "MAX_PIXELS": ("max_pixels", "longest_edge")}


def require_pixel_limits(model_dir: str, env: Mapping[str, str] | None = None) -> None:
    """Refuses a run without limits. ms-swift reads them from the environment before the trainer exists, and has its own defaults.

    :raises SightlineError: a limit is missing; the error has the line to write, with the checkpoint's limits
    """
    env = os.environ if env is None else env
    missing = [name for name in _LIMITS if not env.get(name)]
    if not missing:
        return
    stated = checkpoint_limits(model_dir)
    given = " ".join(f"{name}={env.get(name) or stated.get(name, 'N')}" for name in _LIMITS)
    raise SightlineError(
        f"{' and '.join(missing)} not set: ms-swift would resize images by its own limits instead of the checkpoint's, so "
        "prompts and ratios would differ from those of `sightline`",
        f"export {given}    (the limits of {model_dir})" if stated else f"export {given}, with the limits you want",
    )


def checkpoint_limits(model_dir: str) -> dict[str, int]:
    """The checkpoint's limits in pixels by the name of the environment variable; empty if it has none."""
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
