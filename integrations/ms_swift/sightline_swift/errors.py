"""The error class for users: what is wrong and what to do next."""

from __future__ import annotations


class SightlineError(Exception):
    """Has a message and a fix. Any other exception is a bug of this package."""

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}\n  fix: {fix}")
