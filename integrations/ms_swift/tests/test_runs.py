"""Runs of ms-swift with the plugin, on the golden checkpoints: one process and two, full and LoRA, eager and fused.

A stand-in for the rollout engine gives the golden completions, some shorter ones and an undefined one in each group, so that
TDR is known and undefined rewards stand beside defined ones.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from golden import ROOT, cases_of, model_of, relative, row_of, score, write_rows

HERE = Path(__file__).resolve().parent
GROUP = 4
#: The same as in canned.py, which cannot be imported without ms-swift.
SPOILT = 2
#: Largest relative difference of TDR between implementations of float32 policies. The tests print the differences.
BOUND = 1e-4
#: The same for resized images. ms-swift (qwen_vl_utils) resizes 8-bit values with Pillow, transformers and sightline with another
#: antialiasing filter, so pixels differ by some 255ths, and the ratio of a short completion by some 1e-4.
BOUND_RESIZED = 1e-3
RESIZED = ("upscaled", "downscaled", "odd_size_system")


def words(name: str, folder: Path, model: Path, data: Path, **changes: str) -> list[str]:
    flags = {
        "rlhf_type": "grpo",
        "check_model": "false",
        "model": str(model),
        "model_type": "qwen2_5_vl",
        "template": "qwen2_5_vl",
        "tuner_type": "full",
        "use_vllm": "false",
        "torch_dtype": "float32",
        "fp16": "false",
        "bf16": "false",
        "dataset": str(data),
        "max_completion_length": "32",
        "max_steps": "1",
        "per_device_train_batch_size": "28",
        "gradient_accumulation_steps": "1",
        "learning_rate": "1e-6",
        "logging_steps": "1",
        "num_generations": str(GROUP),
        "output_dir": str(folder / name),
        "add_version": "false",
        "report_to": "none",
        "beta": "0",
        "loss_type": "grpo",
        "load_from_cache_file": "false",
        "attn_impl": "sdpa",
        "save_strategy": "no",
        "log_completions": "true",
        "dataloader_num_workers": "0",
        "split_dataset_ratio": "0",
        **changes,
    }
    return [
        *(word for flag, value in flags.items() for word in (f"--{flag}", value)),
        *("--external_plugins", str(HERE.parent / "plugin.py"), str(HERE / "canned.py")),
        *("--callbacks", "ddapo_attention", "canned", "observer"),
    ]


def canned_rows(checkpoint: str) -> list[dict]:
    """A group is the golden completion, its first 5 and 3 tokens, and one whose attention is not finite (canned.py)."""
    rows = []
    for case in cases_of(checkpoint):
        ids = case["completion_ids"]
        rows.append({**row_of(checkpoint, case), "canned": [ids, ids[:5], ids[:SPOILT], ids[:3]]})
    return rows


def limits(checkpoint: str) -> dict[str, str]:
    sys.path.insert(0, str(HERE.parent))
    from sightline_swift.pixels import checkpoint_limits

    return {name: str(value) for name, value in checkpoint_limits(str(model_of(checkpoint))).items()}


class Runs:
    """Several runs with one or two processes each, done once for all tests that use them."""

    def __init__(self, runs: dict[str, dict], processes: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sightline-swift-"))
        plan = []
        for name, run in runs.items():
            checkpoint = run["checkpoint"]
            data = self.folder / f"{checkpoint}.jsonl"
            write_rows(data, canned_rows(checkpoint))
            out = self.folder / name
            out.mkdir()
            env = {**limits(checkpoint), "SIGHTLINE_TEST_OUT": str(out), **run.get("env", {})}
            flags = run.get("flags", {})
            if processes > 1:
                flags = {"ddp_backend": "gloo", "per_device_train_batch_size": "14", **flags}
            rewards = run.get("rewards", ["ddapo_attention"])
            plan.append(
                {"env": env, "words": words(name, self.folder, model_of(checkpoint), data, **flags) + ["--reward_funcs", *rewards]}
            )
        (self.folder / "runs.json").write_text(json.dumps(plan))
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", "29531"]
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        # The first run's environment is there when its plugin is imported.
        env |= plan[0]["env"] | {"HF_HUB_OFFLINE": "1", "SIGHTLINE_ATTN_BATCH_SIZE": "5"}
        done = subprocess.run(
            [*command, str(HERE / "run_swift.py"), str(self.folder / "runs.json")],
            env=env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log = done.stdout
        if done.returncode != 0:
            raise AssertionError(f"ms-swift ended with {done.returncode}:\n{self.log[-20000:]}")

    def records(self, name: str) -> list[dict]:
        """One record per rank."""
        return [json.loads(path.read_text()) for path in sorted((self.folder / name).glob("rank-*.json"))]

    def logged(self, name: str) -> dict:
        """The first line of ms-swift's log."""
        return json.loads((self.folder / name / "logging.jsonl").read_text().splitlines()[0])

    def completions(self, name: str) -> dict:
        return json.loads((self.folder / name / "completions.jsonl").read_text().splitlines()[0])


class OfRuns(unittest.TestCase):
    def check_ratios(self, runs: Runs, name: str, checkpoint: str, bound: float | None = None) -> None:
        """Compares TDR of every completion with golden values and `sightline score`, and the ids of prompts."""
        records = runs.records(name)
        steps = [record["steps"][0] for record in records]
        rows = [row for step in steps for row in step["rows"]]
        tdr = steps[0]["tdr"]
        for step in steps:
            self.assertEqual(step["tdr"], tdr, "ranks differ")
        self.assertEqual(len(rows), len(tdr))
        golden = {case["name"]: case for case in cases_of(checkpoint)}
        given = [{key: row[key] for key in ("messages", "images", "completion_ids")} for row in rows]
        scored = score(model_of(checkpoint), given, runs.folder, limits(checkpoint))
        largest = {"as they are": 0.0, "resized": 0.0}
        for row, value, other in zip(rows, tdr, scored):
            case = golden[row["case"]]
            self.assertEqual(row["prompt_ids"], case["prompt_ids"], case["name"])
            self.assertEqual(row["system_prefix"], case["system_prefix_tokens"], case["name"])
            self.assertEqual(row["prompt_ids"], other["prompt_ids"], case["name"])
            if other["tdr"] is None or len(row["completion_ids"]) == SPOILT:
                self.assertIsNone(value, case["name"])
                continue
            kind = "resized" if row["case"] in RESIZED else "as they are"
            largest[kind] = max(largest[kind], relative(value, other["tdr"]))
            if row["completion_ids"] == case["completion_ids"]:
                largest[kind] = max(largest[kind], relative(value, case["tdr"]["tdr"]))
        self.assertEqual(sum(value is None for value in tdr), 7 + 3, "the spoilt one of each group, and the group without a picture")
        told = ", ".join(f"{value:.1e} with pictures {kind}" for kind, value in largest.items())
        print(f"{name}: largest relative difference of TDR {told}")
        self.assertLess(largest["as they are"], bound or BOUND)
        self.assertLess(largest["resized"], bound or BOUND_RESIZED)

    def check_advantages(self, runs: Runs, name: str) -> None:
        """Advantages by their definition over the defined values of each group. An undefined value has advantage 0 and does not affect others."""
        step = runs.records(name)[0]["steps"][0]
        for first in range(0, len(step["tdr"]), GROUP):
            tdr, advantages = (step[key][first : first + GROUP] for key in ("tdr", "advantages"))
            defined = [-value for value in tdr if value is not None]
            mean = sum(defined) / max(len(defined), 1)
            for value, advantage in zip(tdr, advantages):
                if value is None:
                    self.assertAlmostEqual(advantage, 0, delta=1e-3)
                else:
                    self.assertGreater(advantage * (-value - mean), 0)

    def check_log(self, runs: Runs, name: str) -> None:
        step = runs.records(name)[0]["steps"][0]
        logged, tdr = runs.logged(name), step["tdr"]
        defined = [value for value in tdr if value is not None]
        mean = sum(defined) / len(defined)
        std = math.sqrt(sum((value - mean) ** 2 for value in defined) / (len(defined) - 1))
        self.assertAlmostEqual(logged["attention/tdr_mean"], mean, delta=1e-6)
        self.assertAlmostEqual(logged["attention/tdr_std"], std, delta=1e-6)
        self.assertAlmostEqual(logged["attention/undefined_frac"], 10 / 28, delta=1e-6)
        self.assertLess(logged["rewards/DDAPOAttentionORM/mean"], 0)
        self.assertEqual(runs.completions(name)["tdr"], tdr)


ONE = {
    "full_eager_node": {"checkpoint": "nested_tied", "env": {"SIGHTLINE_ATTN_PROBE": "eager", "SIGHTLINE_FORMULA": "node"}},
    "full_auto_node": {
        "checkpoint": "published",
        "env": {"SIGHTLINE_ATTN_PROBE": "auto"},
        "flags": {"gradient_checkpointing": "true"},
        "rewards": ["ddapo_attention", "sightline_format"],
    },
    "lora_fused_python": {
        "checkpoint": "nested_tied",
        "env": {"SIGHTLINE_ATTN_PROBE": "fused", "SIGHTLINE_FORMULA": "python"},
        "flags": {"tuner_type": "lora", "lora_dropout": "0.3"},
    },
    "bfloat16": {
        "checkpoint": "published",
        "env": {"SIGHTLINE_ATTN_PROBE": "auto", "SIGHTLINE_FORMULA": "python"},
        "flags": {"torch_dtype": "bfloat16"},
    },
}


class OneProcess(OfRuns):
    @classmethod
    def setUpClass(cls) -> None:
        cls.runs = Runs(ONE, 1)

    def test_ratios_are_those_of_transformers_and_of_sightline(self) -> None:
        for name in ("full_eager_node", "full_auto_node", "lora_fused_python"):
            with self.subTest(name):
                self.check_ratios(self.runs, name, ONE[name]["checkpoint"])

    def test_bfloat16_is_near(self) -> None:
        self.check_ratios(self.runs, "bfloat16", "published", 2**-5)

    def test_undefined_rewards_have_advantage_0(self) -> None:
        for name in ONE:
            with self.subTest(name):
                if len(ONE[name].get("rewards", [])) < 2:
                    self.check_advantages(self.runs, name)

    def test_the_log_and_the_completions_have_tdr(self) -> None:
        for name in ONE:
            with self.subTest(name):
                self.check_log(self.runs, name)

    def test_the_policy_is_put_back(self) -> None:
        for name in ONE:
            step = self.runs.records(name)[0]["steps"][0]
            with self.subTest(name):
                self.assertEqual(step["implementations"], ["sdpa"])
                self.assertTrue(step["training"])
                self.assertTrue(step["checkpointing"])

    def test_wrappers(self) -> None:
        self.assertEqual(self.runs.records("lora_fused_python")[0]["model"], "PeftModelForCausalLM")

    def test_auto_settles_on_fused_and_says_so(self) -> None:
        self.assertEqual(self.runs.records("full_auto_node")[0]["steps"][0]["probe"], "fused")
        self.assertIn("[DDAPO_DEBUG] attn_probe auto: largest relative difference of TDR, fused against eager", self.runs.log)

    def test_the_reasons_are_told_once(self) -> None:
        line = "a sample has no ratio (attention is not finite)"
        self.assertEqual(self.runs.log.count(line), 1)
        self.assertIn("each gets the mean of its group instead", self.runs.log)

    def test_prompts_are_compared(self) -> None:
        self.assertIn("prompt ids: 7 of 7 as sightline makes them", self.runs.log)

    def test_other_rewards_of_sightline_judge_too(self) -> None:
        self.assertEqual(self.runs.logged("full_auto_node")["rewards/Format/mean"], 0)


TWO = {
    "full_auto_node": {"checkpoint": "nested_tied", "env": {"SIGHTLINE_ATTN_PROBE": "auto"}},
    "lora_eager_python": {
        "checkpoint": "published",
        "env": {"SIGHTLINE_ATTN_PROBE": "eager", "SIGHTLINE_FORMULA": "python"},
        "flags": {"tuner_type": "lora"},
    },
}


class TwoProcesses(OfRuns):
    """14 completions per rank in groups of 4, so that the fourth group is split."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.runs = Runs(TWO, 2)

    def test_ratios(self) -> None:
        for name in TWO:
            with self.subTest(name):
                self.check_ratios(self.runs, name, TWO[name]["checkpoint"])

    def test_advantages_and_log(self) -> None:
        for name in TWO:
            with self.subTest(name):
                self.check_advantages(self.runs, name)
                self.check_log(self.runs, name)

    def test_the_policy_is_wrapped(self) -> None:
        self.assertEqual(self.runs.records("full_auto_node")[0]["wrapped"], "DistributedDataParallel")

    def test_both_ranks_make_the_same_collective_calls(self) -> None:
        expected = {
            "full_auto_node": ["formula", "encode", "measure", "samples with masses", "judge ddapo_attention"],
            "lora_eager_python": ["formula", "encode", "measure", "ratios"],
        }
        for name, calls in expected.items():
            with self.subTest(name):
                self.assertEqual([record["calls"] for record in self.runs.records(name)], [calls, calls])


class ServerThatDies(unittest.TestCase):
    """Every rank ends with the first one's error, and none waits forever."""

    def test_both_ranks_say_why(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            plugin = Path(folder, "dies.ts")
            plugin.write_text("import { orms } from 'sightline';\norms.dies = class Dies { call() { process.exit(3); } };\n")
            run = {"checkpoint": "published", "env": {"SIGHTLINE_PLUGINS": str(plugin)}, "rewards": ["dies"]}
            with self.assertRaises(AssertionError) as caught:
                Runs({"dies": run}, 2)
        # The first rank knows how the server's process ended, and the other rank gets its error.
        self.assertIn("the reward server has ended with exit code 3, so the request /judge failed", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
