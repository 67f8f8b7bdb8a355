"""The golden cases of test/golden as rows of ms-swift, and `sightline score` on the same rows."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CLI = ROOT / "dist" / "cli" / "main.js"
GOLDEN = ROOT / "test" / "golden"
CHECKPOINTS = ("nested_tied", "published")


def model_of(checkpoint: str) -> Path:
    return GOLDEN / checkpoint / "model"


def cases_of(checkpoint: str) -> list[dict]:
    return json.loads((GOLDEN / checkpoint / "golden" / "cases.json").read_text())["cases"]


def row_of(checkpoint: str, case: dict) -> dict:
    """Messages with image tags, as in a dataset."""
    folder = GOLDEN / checkpoint / "golden" / "images"
    messages, images = [], []
    for message in case["messages"]:
        parts = message["content"]
        if isinstance(parts, str):
            parts = [{"type": "text", "text": parts}]
        images += [str(folder / part["image"]) for part in parts if part["type"] == "image"]
        text = "".join("<image>" if part["type"] == "image" else part["text"] for part in parts)
        messages.append({"role": message["role"], "content": text})
    return {"messages": messages, "images": images, "case": case["name"]}


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def score(model: Path, rows: list[dict], folder: Path, env: dict[str, str] | None = None) -> list[dict]:
    """`sightline score` on rows with ``completion_ids``."""
    write_rows(folder / "to_score.jsonl", rows)
    words = ["score", "--model", str(model), "--dataset", str(folder / "to_score.jsonl"), "--output", str(folder / "scores.jsonl")]
    subprocess.run(["node", str(CLI), *words], check=True, capture_output=True, env={**os.environ, **(env or {})})
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def relative(a: float, b: float) -> float:
    return abs(a - b) / abs(b)
