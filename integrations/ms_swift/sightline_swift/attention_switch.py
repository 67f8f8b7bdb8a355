"""Switches to eager attention, the only implementation that returns weights, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .policy import configs_of

ATTN_IMPL_KEYS = ("_attn_implementation", "attn_implementation", "llm_attn_implementation")


@contextlib.contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Sets all attention keys that a config has to ``eager``. Reads all of them before it writes any, and always restores them."""
    saved = [(config, key, getattr(config, key)) for config in configs_of(model) for key in ATTN_IMPL_KEYS if hasattr(config, key)]
    try:
        for config, key, _ in saved:
            setattr(config, key, "eager")
        yield
    finally:
        for config, key, value in saved:
            setattr(config, key, value)


def implementations(model: Any) -> list[str]:
    """One line per config with its attention keys."""
    return [
        f"{type(config).__name__}: " + ", ".join(f"{key}={getattr(config, key, '(absent)')}" for key in ATTN_IMPL_KEYS)
        for config in configs_of(model)
    ]
