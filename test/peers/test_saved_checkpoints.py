"""Checkpoints that `sightline sft` saves are read by transformers, every architecture, with the loss that sightline finds.

Needs a build (`npm run build`) and the peers of bench/peers/install.sh; `npm run test:peers` runs it.
"""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

transformers.logging.set_verbosity_error()
ROOT = Path(__file__).resolve().parents[2]
ANSWER = "a red square, left of it 2 circles"
#: Sides of a picture that the processor leaves as it is: multiples of 2 * patch.
SIDES = {"published": 56, "nested_tied": 56, "qwen2_vl": 56, "qwen3_vl": 64}


class SavedCheckpoints(unittest.TestCase):
    def test_loss(self) -> None:
        for name, side in SIDES.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                row = write_row(Path(folder), side)
                golden = ROOT / "test" / "golden" / name / "model"
                saved = train(golden, row, Path(folder) / "trained") / "checkpoint-2"
                ours = loss_before_training(saved, row, Path(folder) / "again")
                theirs = loss_in_transformers(saved, json.loads(row.read_text()))
                difference = abs(ours - theirs) / theirs
                print(f"{name}: loss {ours:.6f} here, {theirs:.6f} in transformers, relative difference {difference:.1e}")
                self.assertLess(difference, 1e-4)


def write_row(folder: Path, side: int) -> Path:
    picture = folder / "picture.png"
    pixels = [((x * 5) % 256, (y * 7) % 256, (x * y) % 256) for y in range(side) for x in range(side)]
    image = Image.new("RGB", (side, side))
    image.putdata(pixels)
    image.save(picture)
    messages = [
        {"role": "user", "content": "<image>What is in the picture?"},
        {"role": "assistant", "content": ANSWER},
    ]
    row = folder / "row.jsonl"
    row.write_text(json.dumps({"messages": messages, "images": [str(picture)]}) + "\n")
    return row


def sightline(*words: object) -> None:
    command = ["node", ROOT / "dist" / "cli" / "main.js", *words]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def environment() -> dict[str, str]:
    """Without the variables that would change the size of pictures."""
    return {name: value for name, value in os.environ.items() if name not in ("MIN_PIXELS", "MAX_PIXELS")}


def train(model: Path, row: Path, output: Path) -> Path:
    """Two steps in which every part moves, so that what is saved is not what was read."""
    sightline(
        *("sft", "--model", model, "--dataset", row, "--output_dir", output, "--add_version", "false"),
        *("--max_steps", 2, "--learning_rate", 1e-3, "--gradient_accumulation_steps", 1, "--save_steps", 2),
        *("--freeze_vit", "false", "--freeze_aligner", "false"),
    )
    return output


def loss_before_training(model: Path, row: Path, output: Path) -> float:
    sightline(
        *("sft", "--model", model, "--dataset", row, "--val_dataset", row, "--output_dir", output),
        *("--add_version", "false", "--max_steps", 1, "--gradient_accumulation_steps", 1, "--save_strategy", "no"),
        *("--eval_on_start", "true"),
    )
    lines = map(json.loads, (output / "logging.jsonl").read_text().splitlines())
    return next(line["eval_loss"] for line in lines if "eval_loss" in line)


def loss_in_transformers(folder: Path, row: dict) -> float:
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    processor = AutoProcessor.from_pretrained(folder)
    question = row["messages"][0]["content"].removeprefix("<image>")
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    text = processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    pictures = [Image.open(path).convert("RGB") for path in row["images"]]
    prompt = processor(text=[text], images=pictures, return_tensors="pt")
    answer = processor.tokenizer(ANSWER + "<|im_end|>", add_special_tokens=False, return_tensors="pt")["input_ids"]
    inputs = dict(prompt, input_ids=torch.cat([prompt["input_ids"], answer], 1))
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:
        pads = inputs["input_ids"] == model.config.image_token_id
        inputs["mm_token_type_ids"] = pads.to(inputs["mm_token_type_ids"].dtype)
    with torch.no_grad():
        logits = model(**inputs).logits[0, -answer.shape[1] - 1 : -1].double()
    return torch.nn.functional.cross_entropy(logits, answer[0]).item()


if __name__ == "__main__":
    unittest.main()
