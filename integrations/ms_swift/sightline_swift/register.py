"""Registers rewards and the callback in ms-swift's tables, and starts the reward server if this rank needs one."""

from __future__ import annotations

import multiprocessing
import os
from functools import partial

from swift import callbacks_map, get_logger
from swift.rewards import orms

from .callback import AttentionCallback
from .errors import SightlineError
from .in_node import judge_in_node
from .judge import Judge, Reward
from .python_formula import Verdict
from .rewards import CALLBACK, in_python, reward_class
from .scene import Scene
from .server import RewardServer, join_server, node_missing, socket_path, start_server
from .settings import Settings, read_settings

DDAPO = "ddapo_attention"

#: Other built-in rewards of sightline: name in sightline, name in ms-swift, class. ms-swift keeps its own under their names.
#: ``iou`` is not among them, because it needs the stored sizes of images.
BUILT_IN = (
    ("external_r1v_acc", "external_r1v_acc", "MultiModalAccuracyORM"),
    ("multiple_choice", "multiple_choice", "MultipleChoice"),
    ("http_judge", "http_judge", "HttpJudge"),
    ("accuracy", "sightline_accuracy", "MathAccuracy"),
    ("cosine", "sightline_cosine", "CosineReward"),
    ("format", "sightline_format", "Format"),
    ("repetition", "sightline_repetition", "RepetitionPenalty"),
    ("soft_overlong", "sightline_soft_overlong", "SoftOverlong"),
)

#: Rewards that need what ms-swift does not give: stored sizes of images, attention on spans. They are not registered.
OWN_ENGINE_ONLY = ("iou", "attention_entropy", "region_attention", "vgr", "visual_decline")


#: The server of this rank, from the last call of ``register``.
_server: RewardServer | None = None


def register() -> None:
    """Can be called again in the same process; it then reads the environment again and starts another server."""
    global _server
    if multiprocessing.parent_process() is not None:
        return  # This is a worker of the data loader, which imports plugins but judges nothing.
    settings = read_settings()
    if _server is not None:
        _server.end()
    server = _server = server_of_rank(settings)
    callbacks_map[CALLBACK] = partial(AttentionCallback, settings=settings, server=server)
    orms[DDAPO] = reward_class(Reward(DDAPO, "DDAPOAttentionORM", True, False, ddapo_verdict), server)
    for there, here, label in BUILT_IN:
        orms[here] = reward_class(Reward(there, label, False, True, in_node(there, server)), server)
    if settings.plugins and server is not None:
        for reward in server.ask("/rewards", {})["rewards"]:
            if reward["file"] is not None:
                name, label = reward["name"], reward["label"]
                needs_attention = "attention" in reward["needs"]
                orms[name] = reward_class(Reward(name, label, needs_attention, True, in_node(name, server)), server)


def server_of_rank(settings: Settings) -> RewardServer | None:
    """The server of this rank, or None. The first process of a node starts it. Only the first node's server judges; the other
    nodes need theirs only for the names of plugins' rewards."""
    is_first_node = int(os.environ.get("GROUP_RANK") or os.environ.get("NODE_RANK") or 0) == 0
    needs = bool(settings.plugins) or (settings.formula != "python" and is_first_node)
    local_rank = int(os.environ.get("LOCAL_RANK") or 0)
    if not needs or (local_rank != 0 and not settings.plugins):
        return None
    if local_rank != 0:
        return join_server(settings, socket_path())
    why = node_missing(settings)
    if why is None:
        return start_server(settings, socket_path())
    if settings.plugins or settings.formula == "node":
        raise SightlineError(
            f"rewards in TypeScript cannot be computed on this node: {why}",
            "install Node 20.19 or newer, or name it in SIGHTLINE_NODE; without SIGHTLINE_PLUGINS, SIGHTLINE_FORMULA=python needs no Node",
        )
    get_logger().info(f"ddapo_attention is computed in Python: {why}")
    return None


def in_node(name: str, server: RewardServer | None):
    return lambda scene, judge: judge_in_node(name, server, scene, judge)


def ddapo_verdict(scene: Scene, judge: Judge) -> Verdict:
    return judge_in_node(DDAPO, judge.server, scene, judge) if judge.uses_node else in_python(scene, judge)
