"""What the processes of a run tell each other. Every reward call makes the same collective calls on every rank.

They are few and made here only, each whatever the rank's own rows are and whether or not it met an error: a rank that left
one out would leave the others waiting. tests/test_runs.py counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list, gather_object

from .errors import SightlineError

T = TypeVar("T")

#: Made so far by this process; for the test.
calls: list[str] = []


def gather(value: T, what: str) -> list[T]:
    """The value of every rank, in their order."""
    calls.append(what)
    return gather_object([value])


def from_main(make: Callable[[], T], is_main: bool, what: str) -> T:
    """What the first rank makes, on every rank. Its error is every rank's error."""
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
    """Each rank makes its part; the parts of all. If one fails, all raise its error rather than wait for it."""
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
    except Exception as error:  # noqa: BLE001: handed on to every rank, which raises it
        return None, _portable(error)


def _portable(error: Exception) -> Exception:
    """One that survives the way to another process; some exceptions of libraries do not."""
    if isinstance(error, SightlineError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
