"""The classes that ms-swift makes its rewards of. Each finds the run's judge when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift.rewards import ORM

from . import ranks
from .errors import SightlineError
from .judge import Judge, Reward
from .python_formula import Verdict, judge_ratios
from .ratio import ratio_of_masses
from .scene import Scene

#: Name of the callback, for ``--callbacks``.
CALLBACK = "ddapo_attention"

_judge: Judge | None = None


def set_judge(judge: Judge) -> None:
    global _judge
    _judge = judge


class SightlineReward(ORM):
    """A reward that sightline judges; subclasses say which."""

    reward: Reward

    def __init__(self, args: Any = None, **kwargs: Any) -> None:
        super().__init__(args, **kwargs)
        callbacks = getattr(args, "callbacks", None)
        if callbacks is not None and CALLBACK not in callbacks:
            raise _no_callback(self.reward.name)

    def __call__(self, completions: Sequence[Any], **kwargs: Any) -> list[float | None]:
        if _judge is None:
            raise _no_callback(self.reward.name)
        return _judge.call(self.reward, completions, kwargs)


def reward_class(reward: Reward) -> type[SightlineReward]:
    """ms-swift names a metric after the class."""
    return type(reward.label, (SightlineReward,), {"reward": reward, "__doc__": f'Reward "{reward.name}" of sightline.'})


def in_python(scene: Scene, judge: Judge) -> Verdict:
    """The attention reward by this package's own formula. One collective call."""

    def ratios() -> list[tuple[float | None, str | None]]:
        return [ratio_of_masses(masses, sequence.spans) for masses, sequence in zip(scene.masses or [], scene.sequences)]

    found = [pair for part in ranks.together(ratios, "ratios") for pair in part]
    return judge_ratios([tdr for tdr, _ in found], [reason for _, reason in found], scene.group_size, judge.settings)


def _no_callback(name: str) -> SightlineError:
    return SightlineError(
        f'reward "{name}" needs the policy, which ms-swift hands to callbacks only', f"add --callbacks {CALLBACK}"
    )
