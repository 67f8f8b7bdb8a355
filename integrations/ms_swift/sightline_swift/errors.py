"""The one error a user is meant to read: what is wrong and what to do next."""

from __future__ import annotations


class SightlineError(Exception):
    """Told in two parts; everything else that is raised is a fault of this package."""

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}\n  fix: {fix}")
