"""Collective calls between the processes of a run. Every reward call makes the same ones on every rank.

All of them are made in this file. A rank makes them for any rows of its own and also after an error, because a rank that skipped
one would leave the others waiting. tests/test_runs.py counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list, gather_object

from .errors import SightlineError

T = TypeVar("T")

#: Names of the calls made so far by this process; for the test.
calls: list[str] = []


def gather(value: T, what: str) -> list[T]:
    """The values of all ranks, in order."""
    calls.append(what)
    return gather_object([value])


def from_main(make: Callable[[], T], is_main: bool, what: str) -> T:
    """Calls ``make`` on the first rank and returns its result on every rank. An error is raised on every rank."""
    calls.append(what)
    told: list[Any] = [None]
    if is_main:
        told = [_attempt(make)]
    broadcast_object_list(told)
    result, error = told[0]
    if error is not None:
        raise error
    return result


def together(make: Callable[[], T], what: str) -> list[T]:
    """Calls ``make`` on every rank and returns all results. If one fails, all ranks raise its error instead of waiting."""
    attempts = gather(_attempt(make), what)
    for rank, (_, error) in enumerate(attempts):
        if error is not None:
            if len(attempts) > 1:
                error.add_note(f"on rank {rank} of {len(attempts)}")
            raise error
    return [part for part, _ in attempts]


def _attempt(make: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return make(), None
    except Exception as error:  # noqa: BLE001: passed to every rank, which raises it
        return None, _portable(error)


def _portable(error: Exception) -> Exception:
    """An error that can be sent to another process; some exceptions of libraries cannot."""
    if isinstance(error, SightlineError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
