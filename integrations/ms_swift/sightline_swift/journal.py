"""Writes the numbers of a reward to ms-swift's log and to columns of completions.jsonl.

The trainer keeps both in two dictionaries without a public interface in 4.6, ``_metrics`` and ``_logs``. Only this file uses them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

#: Names in ``_logs`` that are ms-swift's own.
OWN_COLUMNS = frozenset({"step", "prompt", "completion", "rewards", "advantages", "image", "entropy", "solution", "num_turns"})


def mode_of(trainer: Any) -> str:
    return "train" if trainer.model.training else "eval"


def log_metrics(trainer: Any, metrics: Mapping[str, float]) -> None:
    """Adds metrics, which ms-swift averages between two lines of its log. All ranks add the same; only the first rank writes."""
    for name, value in metrics.items():
        trainer._metrics[mode_of(trainer)][name].append(value)


def log_column(trainer: Any, name: str, values: Sequence[Any]) -> None:
    """Adds a column with one value per completion of the whole batch, in the order of ms-swift's own columns."""
    if name in OWN_COLUMNS or name in trainer._logs["rewards"]:
        return
    trainer._logs.setdefault(name, deque(maxlen=trainer.args.generation_batch_size)).extend(values)


def other_rewards(trainer: Any, own: Sequence[str], count: int) -> dict[str, list[float]]:
    """The last ``count`` values of all ranks for each reward that is not in ``own``."""
    return {name: list(values)[-count:] for name, values in trainer._logs["rewards"].items() if name not in own}
