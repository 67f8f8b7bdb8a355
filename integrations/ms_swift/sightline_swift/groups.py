"""Computations within the groups of a prompt: the replacement of undefined rewards, and the correlation of TDR with other rewards.

Knows lists of numbers, group after group. Uses the formulas of src/grpo/correlation.ts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

#: A standard deviation up to this is rounding.
ZERO_STD = 1e-8


def neutral(values: Sequence[float | None], group_size: int) -> list[float | None]:
    """Replaces each undefined value by the mean of its group's defined values.

    ms-swift sums rewards with ``nansum``, where None counts as 0, which would be the best reward in a group with -TDR. The mean
    does not change the group's mean, so the completion's advantage is 0. A group without a defined value stays None: all of its
    completions count as 0, so their advantages are 0 too.
    """
    filled: list[float | None] = []
    for group in _groups(values, group_size):
        defined = [value for value in group if value is not None]
        mean = sum(defined) / len(defined) if defined else None
        filled += [mean if value is None else value for value in group]
    return filled


def within_group_correlation(x: Sequence[float | None], y: Sequence[float | None], group_size: int) -> float | None:
    """Pearson correlation of group-centred pairs, without groups in which a side is constant. None if no pair is left."""
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
