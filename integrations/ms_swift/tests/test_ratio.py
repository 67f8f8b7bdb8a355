"""Compares the formula in Python with the one in TypeScript through the reward server: random masses, all forms, all reasons."""

import base64
import os
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1])]

from sightline_swift.python_formula import judge_ratios
from sightline_swift.ratio import ratio_of_masses
from sightline_swift.server import start_server
from sightline_swift.settings import read_settings
from sightline_swift.spans import spans_of

IMAGE, VIDEO = 900, 901
GROUP = 4


def sample(random: np.random.Generator, kind: str, layers: int) -> dict:
    prompt = [1, 2, *random.integers(3, 99, 3).tolist()]
    if kind != "no text":
        prompt += random.integers(3, 99, int(random.integers(1, 30))).tolist()
    else:
        prompt = [1, 2]
    if kind != "no visual":
        prompt += [IMAGE] * int(random.integers(1, 40)) + [VIDEO] * int(random.integers(0, 3))
    rows = 0 if kind == "empty" else int(random.integers(1, 20))
    masses = random.random((layers, rows, 2)).astype(np.float32) ** 4
    if kind == "not finite":
        masses[0, 0, 0] = np.nan
    if kind == "no layers":
        masses = masses[:0]
    return {"prompt": prompt, "completion": [7] * rows, "prefix": 2, "masses": masses}


class Formulas(unittest.TestCase):
    def judge_both(self, samples: list[dict], env: dict[str, str]):
        before = dict(os.environ)
        os.environ.update(env)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        settings = read_settings()
        spans = [spans_of(of["prompt"], of["prefix"], len(of["completion"]), [IMAGE, VIDEO]) for of in samples]
        found = [ratio_of_masses(of["masses"], span) for of, span in zip(samples, spans)]
        ours = judge_ratios([tdr for tdr, _ in found], [why for _, why in found], GROUP, settings)
        with tempfile.TemporaryDirectory() as folder:
            server = start_server(settings, f"{folder}/rewards.sock")
            try:
                server.ask("/make", {"reward": "ddapo_attention", "args": {}})
                theirs = server.ask("/judge", request(samples))
            finally:
                server.end()
        return ours, theirs

    def test_all_forms(self) -> None:
        random = np.random.default_rng(1)
        kinds = ["plain"] * 8 + ["empty", "no visual", "no text", "not finite", "no layers", "plain", "plain", "plain"] + ["empty"] * 4
        samples = [sample(random, kind, layers) for kind, layers in zip(kinds, [6, 8, 1, 8] * 5)]
        for env in ({}, {"DDAPO_REWARD_CENTER": "1"}, {"DDAPO_GROUP_NORM": "1"}, {"DDAPO_GROUP_NORM": "1", "DDAPO_REWARD_CENTER": "1"}):
            with self.subTest(env):
                ours, theirs = self.judge_both(samples, env)
                self.assertEqual([value is None for value in ours.values], [value is None for value in theirs["values"]])
                pairs = list(zip(ours.values, theirs["values"])) + list(zip(ours.columns["tdr"], theirs["columns"]["tdr"]))
                pairs += [(ours.metrics[name], theirs["metrics"][name]) for name in ours.metrics | theirs["metrics"]]
                largest = max(abs(a - b) / max(1, abs(b)) for a, b in pairs if a is not None)
                print(f"{env}: largest difference of Python and TypeScript {largest:.1e}")
                # Sums of at most 160 float64 terms in another order; dividing by a group's std enlarges their difference.
                self.assertLess(largest, 1e-9)

    def test_reasons_are_told_in_the_same_words(self) -> None:
        random = np.random.default_rng(2)
        samples = [sample(random, kind, 6) for kind in ("plain", "empty", "no visual", "not finite")]
        ours, theirs = self.judge_both(samples, {})
        self.assertEqual(ours.lines, [(of["level"], of["text"]) for of in theirs["lines"] if of["level"] != "debug"])


class Definition(unittest.TestCase):
    def test_equal_attention_on_every_column_is_a_ratio_of_one(self) -> None:
        spans = spans_of([1, 2, IMAGE, IMAGE, IMAGE, 3, 4], 1, 2, [IMAGE, None])
        masses = np.tile(np.array([3.0, 3.0], np.float32) / 7, (6, 2, 1))
        self.assertEqual((len(spans.visual), len(spans.text)), (3, 3))
        tdr, why = ratio_of_masses(masses, spans)
        self.assertAlmostEqual(tdr, 1, delta=1e-5)  # the epsilons of the definition account for the difference
        self.assertIsNone(why)


def request(samples: list[dict]) -> dict:
    pack = lambda masses, side: base64.b64encode(np.ascontiguousarray(masses[..., side], "<f4").tobytes()).decode()  # noqa: E731
    return {
        "reward": "ddapo_attention",
        "completions": ["" for _ in samples],
        "num_generations": GROUP,
        "step": 1,
        "max_steps": 1,
        "rows": [{"messages": [{"role": "user", "content": "What?"}]} for _ in samples],
        "prompt_ids": [of["prompt"] for of in samples],
        "completion_ids": [of["completion"] for of in samples],
        "system_prefix": [of["prefix"] for of in samples],
        "images": [[] for _ in samples],
        "image_token_id": IMAGE,
        "video_token_id": VIDEO,
        "attention_masses": [
            {"layers": len(of["masses"]), "visual": pack(of["masses"], 0), "text": pack(of["masses"], 1)} for of in samples
        ],
    }


if __name__ == "__main__":
    unittest.main()
