"""Where numbers of a reward go in ms-swift: its log, and a column of completions.jsonl.

Both are kept by the trainer in two dictionaries that 4.6 has no public way to write to, ``_metrics`` and ``_logs``; nothing
else of this package reads or writes them.
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
    """ms-swift averages what it gets between two lines of its log. Every rank logs the same; only the first one's is written."""
    for name, value in metrics.items():
        trainer._metrics[mode_of(trainer)][name].append(value)


def log_column(trainer: Any, name: str, values: Sequence[Any]) -> None:
    """One value a completion of the whole batch, in the order of ms-swift's own columns."""
    if name in OWN_COLUMNS or name in trainer._logs["rewards"]:
        return
    trainer._logs.setdefault(name, deque(maxlen=trainer.args.generation_batch_size)).extend(values)


def other_rewards(trainer: Any, own: Sequence[str], count: int) -> dict[str, list[float]]:
    """The last ``count`` values of each reward that is not one's own, of all ranks."""
    return {name: list(values)[-count:] for name, values in trainer._logs["rewards"].items() if name not in own}
