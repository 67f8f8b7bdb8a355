"""`sightline rlhf --engine ms-swift` with ms-swift itself, on the embedded checkpoint: one process, two, and what it is told."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from golden import CLI, ROOT

sys.path.insert(0, str(ROOT / "integrations" / "ms_swift"))

#: A reward with a flag of its own, which has no environment variable.
PLUGIN = """
import { orms } from 'sightline';
class Paid {
  static flags = { pay: { kind: 'number', default: 1, help: 'What every completion gets.' } };
  constructor(args) { this.pay = args.pay; }
  call(completions) { return completions.map(() => this.pay); }
}
orms['paid'] = Paid;
"""
#: Values that ms-swift has other defaults for, or checks, and flags of its own.
MORE = """--system Look. --max_length 900 --truncation_strategy delete --norm_bbox norm1000 --delta 2 --epsilon_high 0.3
  --lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs {"min_lr_rate":0.1} --warmup_steps 2 --save_total_limit 1
  --gradient_checkpointing false --dataset_shuffle false --split_dataset_ratio 0.25 --eval_strategy steps --eval_steps 1
  --num_generations_eval 8 --scale_rewards gdpo --loss_type cispo --report_to none --lora_rank 4 --target_modules q_proj v_proj
  --dataloader_num_workers 0 --callbacks early_stop""".split()


def sightline(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SIGHTLINE_", "DDAPO_"))}
    return subprocess.run(
        ["node", str(CLI), *words],
        env={**own, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", **(env or {})},
        capture_output=True,
        text=True,
    )


class WithRows(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        holder = tempfile.TemporaryDirectory(prefix="sightline-launcher-")
        cls.addClassCleanup(holder.cleanup)
        cls.folder = Path(holder.name)
        made = sightline("demo", "data", "--output_dir", str(cls.folder / "data"), "--kind", "grpo", "--rows", "32")
        if made.returncode != 0:
            raise AssertionError(made.stderr)
        (cls.folder / "paid.ts").write_text(PLUGIN)

    def words(self, name: str, *more: str) -> list[str]:
        flags = {
            "engine": "ms-swift",
            "engine_python": sys.executable,
            "model": str(ROOT / "assets" / "demo" / "checkpoint"),
            "dataset": str(self.folder / "data" / "data.jsonl"),
            "max_completion_length": "32",
            "per_device_train_batch_size": "8",
            "max_steps": "2",
            "logging_steps": "1",
            "beta": "0",
            "output_dir": str(self.folder / name),
            "add_version": "false",
        }
        return ["rlhf", *(word for flag, value in flags.items() for word in (f"--{flag}", value)), *more]


class Launcher(WithRows):
    def logged(self, name: str) -> list[dict]:
        lines = (self.folder / name / "logging.jsonl").read_text().splitlines()
        return [row for row in map(json.loads, lines) if "loss" in row]

    def test_one_process(self) -> None:
        more = ["--external_plugins", str(self.folder / "paid.ts"), "--pay", "2.5", "--log_completions", "true"]
        run = sightline(*self.words("one", *more, "--reward_funcs", "ddapo_attention", "format", "paid"))
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        first, last = self.logged("one")
        for row in (first, last):
            self.assertLess(row["rewards/DDAPOAttentionORM/mean"], -0.5)
            self.assertAlmostEqual(row["attention/tdr_mean"], -row["rewards/DDAPOAttentionORM/mean"], delta=1e-6)
            self.assertEqual(row["rewards/Paid/mean"], 2.5)
        self.assertRegex(run.stdout, r"(?m)^step 1/2 .*DDAPOAttentionORM -1\.")
        self.assertRegex(run.stdout, r"(?m)^done: 2 of 2 steps")
        self.assertIn("prompt ids: 1 of 1 as sightline makes them", run.stdout)
        self.assertEqual(json.loads((self.folder / "one" / "args.json").read_text())["rlhf_type"], "grpo")
        own = json.loads((self.folder / "one" / "sightline_args.json").read_text())
        self.assertEqual((own["engine"], own["pay"]), ("ms-swift", 2.5))
        self.assertTrue((self.folder / "one" / "checkpoint-2" / "model.safetensors").is_file())
        self.check_score("--model", self.folder / "one" / "checkpoint-2")

    def check_score(self, flag: str, checkpoint: Path) -> None:
        """sightline reads what ms-swift has saved."""
        row = json.loads((self.folder / "data" / "data.jsonl").read_text().splitlines()[0])
        row["messages"].append({"role": "assistant", "content": "red"})
        answered = self.folder / "data" / "answered.jsonl"
        answered.write_text(json.dumps(row) + "\n")
        scores = self.folder / f"{checkpoint.parent.name}.jsonl"
        scored = sightline("score", flag, str(checkpoint), "--dataset", str(answered), "--output", str(scores))
        self.assertEqual(scored.returncode, 0, scored.stderr)
        self.assertGreater(json.loads(scores.read_text())["tdr"], 0.5)

    def test_two_processes(self) -> None:
        more = ["--nproc_per_node", "2", "--per_device_train_batch_size", "4", "--tuner_type", "lora", "--master_port", "29533"]
        run = sightline(*self.words("two", *more, "--reward_funcs", "ddapo_attention", "external_r1v_acc"))
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for row in self.logged("two"):
            self.assertLess(row["rewards/DDAPOAttentionORM/mean"], -0.5)
        self.assertIn("torch.distributed.run --nproc_per_node 2 --master_port 29533", (self.folder / "two" / "ms_swift.log").read_text())
        self.assertRegex(run.stdout, r"sightline infer --adapters \S+checkpoint-2 --image FILE")
        self.check_score("--adapters", self.folder / "two" / "checkpoint-2")


class Parser(WithRows):
    """ms-swift's own parser takes every word that is written for it."""

    def test_words(self) -> None:
        from swift.arguments import RLHFArguments
        from swift.utils import parse_args

        for more in ([], MORE, ["--generation_batch_size", "16", "--tuner_type", "lora"]):
            with self.subTest(more):
                run = sightline(*self.words("dry", *more, "--reward_funcs", "ddapo_attention", "accuracy", "--dry_run", "true"))
                self.assertEqual(run.returncode, 0, run.stderr)
                words = shlex.split(run.stdout.replace("\\\n", " "))
                env = dict(word.split("=", 1) for word in words[: words.index(sys.executable)])
                flags = words[words.index("rlhf") + 1 :]
                # The plugin's names are registered in runs only.
                flags[flags.index("--external_plugins") : flags.index("--external_plugins") + 2] = []
                os.environ.update({name: value for name, value in env.items() if not name.startswith("SIGHTLINE_")})
                args, rest = parse_args(RLHFArguments, flags)
                self.assertEqual(rest, [])
                self.assertEqual((args.rlhf_type, args.strict, args.beta), ("grpo", True, 0))

    def test_the_list_of_arguments_is_this_versions(self) -> None:
        from swift.arguments import RLHFArguments

        listed = json.loads((ROOT / "test" / "arguments" / "ms_swift" / "rlhf_arguments.json").read_text())["fields"]
        self.assertEqual(set(listed), {field.name for field in dataclasses.fields(RLHFArguments) if field.init})

    def test_names_of_rewards(self) -> None:
        """Rewards of sightline are registered, under another name where ms-swift has one of that name."""
        from swift.rewards import orm

        from sightline_swift.register import BUILT_IN, DDAPO, OWN_ENGINE_ONLY

        theirs = set(orm.orms) - {here for _, here, _ in BUILT_IN} - {DDAPO}
        for there, here, _ in BUILT_IN:
            self.assertEqual(here, f"sightline_{there}" if there in theirs else there)
        ours = {there for there, _, _ in BUILT_IN} | {DDAPO, *OWN_ENGINE_ONLY}
        registry = (ROOT / "src" / "rewards" / "registry.ts").read_text().split("OrmConstructor> = {")[1].split("}")[0]
        self.assertEqual(ours, {line.split(":")[0].strip() for line in registry.split(",") if ":" in line})
        names = (ROOT / "src" / "ms_swift" / "reward_names.ts").read_text()
        self.assertEqual(theirs & ours, listed(names, "BOTH: readonly string[] = ["))
        self.assertEqual(theirs - ours, listed(names, "ONLY_THERE = ["))


def listed(text: str, beginning: str) -> set[str]:
    return {word.strip(" '") for word in text.split(beginning)[1].split("]")[0].split(",")}


if __name__ == "__main__":
    unittest.main()
