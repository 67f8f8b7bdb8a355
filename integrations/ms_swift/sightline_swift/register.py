"""Which names stand for what in ms-swift's tables."""

from __future__ import annotations

from swift import callbacks_map
from swift.rewards import orms

from .callback import AttentionCallback
from .judge import Reward
from .rewards import CALLBACK, in_python, reward_class

DDAPO = "ddapo_attention"


def register() -> None:
    callbacks_map[CALLBACK] = AttentionCallback
    orms[DDAPO] = reward_class(Reward(DDAPO, "DDAPOAttentionORM", True, in_python))
