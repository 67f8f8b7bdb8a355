"""Messages to the user, on the first rank only, in ms-swift's own log.

Each begins with ``sightline:`` or ``[DDAPO_DEBUG]``, so that `sightline rlhf --engine ms-swift` finds it.
"""

from __future__ import annotations

from collections.abc import Callable

from swift import get_logger

Tell = Callable[[str, str], None]

_said: set[str] = set()


def tell_of(is_main: bool) -> Tell:
    logger = get_logger()
    ways = {"debug": logger.info, "info": logger.info, "warn": logger.warning}

    def tell(level: str, line: str) -> None:
        if is_main:
            ways[level](line if line.startswith("[DDAPO_DEBUG]") else f"sightline: {line}")

    return tell


def once(topic: str, say: Callable[[], None]) -> None:
    """Calls ``say`` only the first time that this topic occurs in the run."""
    if topic not in _said:
        _said.add(topic)
        say()
