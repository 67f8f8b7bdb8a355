"""Messages to the user, on the first rank only, in ms-swift's own log."""

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
            ways[level](line)

    return tell


def once(topic: str, say: Callable[[], None]) -> None:
    """Calls ``say`` only the first time that this topic occurs in the run."""
    if topic not in _said:
        _said.add(topic)
        say()
