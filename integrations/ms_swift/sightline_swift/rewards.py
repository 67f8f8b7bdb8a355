"""The reward classes that ms-swift instantiates. They use the run's judge when they are called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from swift.rewards import ORM

from . import ranks
from .errors import SightlineError
from .in_node import arguments_of
from .judge import Judge, Reward
from .python_formula import Verdict, judge_ratios
from .ratio import ratio_of_masses
from .scene import Scene
from .server import RewardServer
from .settings import read_settings

#: Name of the callback, for ``--callbacks``.
CALLBACK = "ddapo_attention"

_judge: Judge | None = None


def set_judge(judge: Judge) -> None:
    global _judge
    _judge = judge


class SightlineReward(ORM):
    """A reward of sightline. Subclasses set which one."""

    reward: Reward
    server: RewardServer | None

    def __init__(self, args: Any = None, **kwargs: Any) -> None:
        super().__init__(args, **kwargs)
        callbacks = getattr(args, "callbacks", None)
        if callbacks is not None and CALLBACK not in callbacks:
            raise _no_callback(self.reward.name)
        if not is_first_rank():
            return
        if self.server is not None:
            self.server.ask("/make", {"reward": self.reward.name, "args": arguments_of(args, read_settings().reward_options)})
        elif self.reward.needs_node:
            raise SightlineError(
                f'reward "{self.reward.name}" needs Node, which is not used in this run', "set SIGHTLINE_FORMULA to auto or node"
            )

    def __call__(self, completions: Sequence[Any], **kwargs: Any) -> list[float | None]:
        if _judge is None:
            raise _no_callback(self.reward.name)
        return _judge.call(self.reward, completions, kwargs)


def reward_class(reward: Reward, server: RewardServer | None) -> type[SightlineReward]:
    """A class for the reward. Its name is the reward's label, because ms-swift names metrics after the class."""
    return type(reward.label, (SightlineReward,), {"reward": reward, "server": server, "__doc__": f'Reward "{reward.name}" of sightline.'})


def in_python(scene: Scene, judge: Judge) -> Verdict:
    """Computes the attention reward in Python. Makes one collective call."""

    def ratios() -> list[tuple[float | None, str | None]]:
        return [ratio_of_masses(masses, sequence.spans) for masses, sequence in zip(scene.masses or [], scene.sequences)]

    found = [pair for part in ranks.together(ratios, "ratios") for pair in part]
    return judge_ratios([tdr for tdr, _ in found], [reason for _, reason in found], scene.group_size, judge.settings)


def is_first_rank() -> bool:
    """Whether this is the first of all ranks. Uses torchrun's variable, because rewards are created before the trainer."""
    return int(os.environ.get("RANK") or 0) == 0


def _no_callback(name: str) -> SightlineError:
    return SightlineError(
        f'reward "{name}" needs the policy, which ms-swift gives only to callbacks', f"add --callbacks {CALLBACK}"
    )
