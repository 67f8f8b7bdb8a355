"""Sends completions to the reward server and reads its verdict. Knows only the form of requests and answers."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import ranks
from .errors import SightlineError
from .judge import Judge
from .python_formula import Verdict
from .rows import NOT_COLUMNS, Encoded
from .same_prompt import compare_prompts
from .scene import Scene
from .server import RewardServer
from .telling import once


def judge_in_node(name: str, server: RewardServer | None, scene: Scene, judge: Judge) -> Verdict:
    """Sends all ranks' completions to the first rank, whose server judges them together. Makes two collective calls.

    They are judged together because a reward always gets whole groups, and ms-swift may split a group over ranks.

    :param server: the server of this rank; only the first rank's is used
    """
    key = "samples with masses" if scene.masses is not None else "samples"
    if key not in scene.shared:
        parts = ranks.together(lambda: samples_of(scene, judge), key)
        scene.shared[key] = [sample for part in parts for sample in part]
    samples = scene.shared[key]

    def ask() -> Verdict:
        if server is None:
            raise SightlineError(f'reward "{name}" needs Node, which is not used in this run')
        once("prompts", lambda: compare_prompts(samples, model_dir_of(judge.trainer), server, judge.tell))
        answer = server.ask("/judge", request_of(name, samples, scene, judge))
        lines = [(line["level"], line["text"]) for line in answer["lines"]]
        return Verdict(answer["values"], answer["metrics"], answer["columns"], lines)

    return ranks.from_main(ask, judge.is_main, f"judge {name}")


def samples_of(scene: Scene, judge: Judge) -> list[dict[str, Any]]:
    """This rank's completions, each with everything that a reward may use."""
    masses = scene.masses or [None] * len(scene.sequences)
    patch = getattr(getattr(judge.trainer.model.config, "vision_config", None), "patch_size", 14)
    return [
        {
            "completions": text,
            "rows": _row(row, judge),
            "prompt_ids": sequence.prompt_ids,
            "completion_ids": sequence.completion_ids,
            "system_prefix": sequence.system_prefix,
            "images": [{"grid_thw": grid, "patch_size": patch} for grid in _grids(sequence)],
            "attention_masses": None if scene.masses is None else _packed(of, sequence),
        }
        for text, row, sequence, of in zip(scene.completions, scene.rows, scene.sequences, masses)
    ]


def request_of(name: str, samples: list[dict[str, Any]], scene: Scene, judge: Judge) -> dict[str, Any]:
    state, config = judge.trainer.state, judge.trainer.model.config
    lists = {field: [sample[field] for sample in samples] for field in samples[0]}
    if all(masses is None for masses in lists["attention_masses"]):
        lists["attention_masses"] = None
    return {
        "reward": name,
        **lists,
        "num_generations": scene.group_size,
        "step": state.global_step + 1,
        "max_steps": max(state.max_steps, 0),
        "image_token_id": _id(config, "image_token_id"),
        "video_token_id": _id(config, "video_token_id"),
    }


def arguments_of(args: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The run's arguments by flag name, for a reward's constructor, and the rewards' own options. Leaves out values that JSON
    cannot represent."""
    return {name: value for name, value in vars(args).items() if not name.startswith("_") and _is_json(value)} | dict(options)


def _row(row: Mapping[str, Any], judge: Judge) -> dict[str, Any]:
    """The row as in the dataset, without the completion and without values that JSON cannot represent."""
    messages = row["messages"][:-1] if row["messages"] and row["messages"][-1].get("role") == "assistant" else row["messages"]
    sent = {"messages": messages, "images": [_image(image) for image in row.get("images") or []]}
    for name, value in row.items():
        if name in NOT_COLUMNS:
            continue
        if _is_json(value):
            sent[name] = value
        else:
            once(
                f"column {name}",
                lambda name=name, value=value: judge.tell(
                    "warn", f'rewards in TypeScript do not get the column "{name}": JSON cannot represent {type(value).__name__}'
                ),
            )
    return sent


def _image(image: Any) -> Any:
    """The path of an image. The bytes of an image without a file are not sent, because the rewards' contract does not include them."""
    path = image.get("path") if isinstance(image, dict) else image
    if isinstance(path, str) and path and not path.startswith(("http", "data:")):
        # As ms-swift reads it.
        path = os.path.abspath(os.path.join(os.environ.get("ROOT_IMAGE_DIR") or "", path))
    return path if isinstance(path, str) else {"path": "a picture without a file"}


def _packed(masses: np.ndarray | None, sequence: Encoded) -> dict[str, Any]:
    """Masses as base64. Sends no layers if there are no masses; the reward then gives the reason."""
    if masses is None:
        masses = np.zeros((0, len(sequence.completion_ids), 2), np.float32)
    visual, text = (base64.b64encode(np.ascontiguousarray(masses[..., side], "<f4").tobytes()).decode() for side in (0, 1))
    return {"layers": len(masses), "visual": visual, "text": text}


def _grids(sequence: Encoded) -> list[list[int]]:
    grid = sequence.encoded.get("image_grid_thw")
    return [] if grid is None else [[int(side) for side in row] for row in grid]


def model_dir_of(trainer: Any) -> str:
    return trainer.template.model_info.model_dir


def _id(config: Any, name: str) -> int:
    value = getattr(config, name, None)
    return -1 if value is None else value


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
