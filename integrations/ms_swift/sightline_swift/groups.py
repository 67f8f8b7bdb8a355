"""Completions of one prompt together: what an undefined reward is replaced by, and how TDR moves with other rewards.

Knows numbers, group after group; the same formulas as src/grpo/correlation.ts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

#: A spread below this is rounding.
ZERO_STD = 1e-8


def neutral(values: Sequence[float | None], group_size: int) -> list[float | None]:
    """Undefined values, each replaced by the mean of its group's defined ones.

    ms-swift adds rewards up with ``nansum``, where None counts as 0, and beside -TDR a 0 is the best reward of its group.
    The mean leaves the group's mean where it is, so the completion's advantage is 0. A group without a defined value stays
    None: all of it then counts as 0 alike, which is an advantage of 0 too.
    """
    filled: list[float | None] = []
    for group in _groups(values, group_size):
        defined = [value for value in group if value is not None]
        mean = sum(defined) / len(defined) if defined else None
        filled += [mean if value is None else value for value in group]
    return filled


def within_group_correlation(x: Sequence[float | None], y: Sequence[float | None], group_size: int) -> float | None:
    """Pearson correlation of group-centred pairs; groups in which either side is constant stay out. None: nothing to tell."""
    xx = yy = xy = 0.0
    for xs, ys in zip(_groups(x, group_size), _groups(y, group_size)):
        pairs = [(a, b) for a, b in zip(xs, ys) if a is not None and b is not None and not math.isnan(a) and not math.isnan(b)]
        if len(pairs) < 2 or any(_std([pair[side] for pair in pairs]) <= ZERO_STD for side in (0, 1)):
            continue
        x_mean, y_mean = (sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
        xx += sum((a - x_mean) ** 2 for a, _ in pairs)
        yy += sum((b - y_mean) ** 2 for _, b in pairs)
        xy += sum((a - x_mean) * (b - y_mean) for a, b in pairs)
    if xx == 0 or yy == 0:
        return None
    return max(-1.0, min(1.0, xy / math.sqrt(xx * yy)))


def _groups(values: Sequence[float | None], size: int) -> Iterator[Sequence[float | None]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]


def _std(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
