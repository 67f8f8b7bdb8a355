"""Settings from environment variables. ms-swift refuses unknown flags, so a plugin cannot have flags of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import SightlineError

PROBES = ("auto", "fused", "eager")
FORMULAS = ("auto", "node", "python")
REWARD_ERRORS = ("stop", "skip")


@dataclass(frozen=True)
class Settings:
    #: How attention is measured: fused sums in the model's own forward, an eager forward, or auto, which starts with both.
    attn_probe: str
    #: Where the attention reward is computed: in Node (the code of ``sightline rlhf``), in Python, or auto (Node if available).
    formula: str
    #: Completions per forward; 0 means per_device_train_batch_size.
    batch_size: int
    #: Plugin files in TypeScript or JavaScript.
    plugins: tuple[str, ...]
    #: Values of the flags that rewards bring, by name.
    reward_options: dict[str, Any]
    #: The Node program.
    node: str
    #: The script that it runs; None means the one of this repository.
    cli: str | None
    #: Time limit of a reward in seconds.
    deadline: float
    #: Seconds for a reward in TypeScript and one batch; 0: no limit of its own.
    reward_timeout: float
    #: Whether a failed reward in TypeScript ends the run (stop), or its values are undefined (skip).
    reward_error: str
    #: Whether the reward is -(TDR - 1) instead of -TDR.
    reward_center: bool
    #: Whether the reward is -(TDR - mean) / (std + eps) within each group.
    group_norm: bool


def read_settings(env: Mapping[str, str] | None = None) -> Settings:
    env = os.environ if env is None else env  # not a default argument, because libraries replace os.environ
    return Settings(
        attn_probe=_choice(env, "SIGHTLINE_ATTN_PROBE", PROBES),
        formula=_choice(env, "SIGHTLINE_FORMULA", FORMULAS),
        batch_size=int(_number(env, "SIGHTLINE_ATTN_BATCH_SIZE", 0, whole=True)),
        plugins=tuple(path for path in env.get("SIGHTLINE_PLUGINS", "").split(os.pathsep) if path),
        reward_options=_object(env, "SIGHTLINE_REWARD_OPTIONS"),
        node=env.get("SIGHTLINE_NODE") or "node",
        cli=env.get("SIGHTLINE_CLI") or None,
        deadline=_number(env, "SIGHTLINE_REWARD_DEADLINE", 300, above=0),
        reward_timeout=_number(env, "SIGHTLINE_REWARD_TIMEOUT", 0),
        reward_error=_choice(env, "SIGHTLINE_REWARD_ERROR", REWARD_ERRORS),
        reward_center=_switch(env, "DDAPO_REWARD_CENTER"),
        group_norm=_switch(env, "DDAPO_GROUP_NORM"),
    )


def _choice(env: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = env.get(name) or known[0]
    if value not in known:
        raise SightlineError(f'{name} is "{value}"', f"write one of {', '.join(known)}")
    return value


def _object(env: Mapping[str, str], name: str) -> dict[str, Any]:
    text = env.get(name) or "{}"
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SightlineError(f"{name} is {text!r}", 'write a JSON object, such as {"place_bonus": 2}')
    return value


def _number(env: Mapping[str, str], name: str, default: float, *, whole: bool = False, above: float = -1) -> float:
    text = env.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not above < value < 1e9 or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise SightlineError(f'{name} is "{text}"', f"write a {kind} {'of 0 or more' if above < 0 else 'above 0'}")
    return value


def _switch(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("", "0", "false", "no", "off"):
        return False
    raise SightlineError(f'{name}: "{text}" is neither on nor off', "write 1 or 0")
