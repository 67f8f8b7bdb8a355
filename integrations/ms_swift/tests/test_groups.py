"""Undefined rewards in ms-swift's own advantages, and correlations within groups."""

import sys
import unittest
from pathlib import Path

import numpy as np
import torch
from swift.rl_core.advantage import compute_advantages

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sightline_swift.groups import neutral, within_group_correlation

VALUES = [-1.2, -0.9, None, -1.5, None, None, None, None, -2.0, None, None, None]


def advantages(values: list[float | None], **options) -> torch.Tensor:
    column = torch.tensor([[float("nan") if value is None else value] for value in values])
    return compute_advantages(column, torch.ones(1), 4, **options)[0]


class Neutral(unittest.TestCase):
    def test_an_undefined_reward_has_advantage_0_in_ms_swift(self) -> None:
        for estimator in ("grpo", "rloo"):
            for scale in ("group", "batch", "none"):
                with self.subTest(estimator=estimator, scale=scale):
                    found = advantages(neutral(VALUES, 4), advantage_estimator=estimator, scale_rewards=scale)
                    for value, advantage in zip(VALUES, found.tolist()):
                        if value is None:
                            self.assertAlmostEqual(advantage, 0, delta=1e-5)

    def test_left_to_ms_swift_it_would_be_the_best_of_its_group(self) -> None:
        found = advantages(VALUES)[:4]
        self.assertEqual(int(found.argmax()), 2)

    def test_defined_values_stay_and_a_group_without_any_stays_undefined(self) -> None:
        self.assertEqual(neutral(VALUES, 4)[4:8], [None] * 4)
        self.assertEqual([a for a, b in zip(neutral(VALUES, 4), VALUES) if b is not None], [b for b in VALUES if b is not None])
        self.assertEqual(neutral(VALUES, 4)[8:], [-2.0] * 4)


class Correlation(unittest.TestCase):
    def test_is_numpys_of_centred_groups(self) -> None:
        random = np.random.default_rng(3)
        x, y = random.normal(size=(2, 6, 4))
        y += 0.5 * x + 10 * np.arange(6)[:, None]
        expected = np.corrcoef((x - x.mean(1, keepdims=True)).ravel(), (y - y.mean(1, keepdims=True)).ravel())[0, 1]
        self.assertAlmostEqual(within_group_correlation(x.ravel().tolist(), y.ravel().tolist(), 4), expected, delta=1e-12)

    def test_undefined_pairs_and_constant_groups_stay_out(self) -> None:
        x = [1.0, 2.0, None, 4.0, 5.0, 5.0, 5.0, 5.0]
        y = [2.0, 4.0, 9.0, float("nan"), 1.0, 2.0, 3.0, 4.0]
        self.assertAlmostEqual(within_group_correlation(x, y, 4), 1, delta=1e-12)
        self.assertIsNone(within_group_correlation([1.0] * 4, [1.0, 2.0, 3.0, 4.0], 4))


if __name__ == "__main__":
    unittest.main()
