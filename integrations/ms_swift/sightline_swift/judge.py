"""Passes ms-swift's completions to a reward of sightline and its results to ms-swift.

Knows the trainer, not what a reward measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import ranks
from .groups import neutral, within_group_correlation
from .journal import log_column, log_metrics, other_rewards
from .measure import Measurement
from .python_formula import Verdict
from .scene import Scene, measure_scene, open_scene
from .server import RewardServer
from .settings import Settings
from .telling import once, tell_of


@dataclass(frozen=True)
class Reward:
    name: str
    #: The class name, as in ``rewards/<label>/mean``.
    label: str
    needs_attention: bool
    #: Whether the reward has no implementation in Python.
    needs_node: bool
    #: Judges the completions of all ranks of a scene, which is measured if the reward needs attention. Returns the same on every rank.
    verdict: Callable[[Scene, "Judge"], Verdict]


class Judge:
    """The state of a run. There is one judge per run."""

    def __init__(self, trainer: Any, settings: Settings, server: RewardServer | None) -> None:
        """Makes one collective call, because the first rank decides where the attention reward is computed."""
        self.trainer = trainer
        self.settings = settings
        self.server = server
        self.is_main = trainer.accelerator.is_main_process
        self.uses_node: bool = ranks.from_main(
            lambda: server is not None and settings.formula != "python", self.is_main, "formula"
        )
        self.tell = tell_of(self.is_main)
        self._measurement: Measurement | None = None
        self._scene: tuple[object, Scene] | None = None
        #: Names of rewards that use attention. TDR is not correlated with these.
        self._attention_labels: set[str] = set()
        #: TDR of the last batch and its group size, until it has been correlated with the other rewards.
        self._tdr: tuple[list[float | None], int] | None = None
        #: Values of sightline's other rewards for this batch, before undefined values are replaced.
        self._others: dict[str, list[float | None]] = {}

    def call(self, reward: Reward, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> list[float | None]:
        scene = self._scene_of(completions, kwargs)
        if reward.needs_attention:
            self._attention_labels.add(reward.label)
            measure_scene(scene, self.measurement)
        verdict = reward.verdict(scene, self)
        self._write_down(reward, verdict, scene)
        filled = neutral(verdict.values, scene.group_size)
        return scene.own(filled, self.trainer.accelerator.process_index)

    @property
    def measurement(self) -> Measurement:
        if self._measurement is None:
            self._measurement = Measurement(
                self.trainer, self.settings.attn_probe, self.settings.batch_size, self.tell
            )
        return self._measurement

    def correlate(self) -> None:
        """Logs the correlation of TDR with the other rewards within the groups of the last batch. Called at the end of a step,
        because ms-swift does not have the other rewards earlier."""
        if self._tdr is None:
            return
        tdr, group_size = self._tdr
        others = other_rewards(self.trainer, self._attention_labels, len(tdr)) | self._others
        self._tdr, self._others = None, {}
        for label, values in others.items():
            if len(values) != len(tdr):
                continue
            correlation = within_group_correlation(tdr, values, group_size)
            if correlation is not None:
                log_metrics(self.trainer, {f"attention/corr_tdr_{label}": correlation})

    def _scene_of(self, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> Scene:
        """The scene of these completions. Reuses the previous one if it has the same rollout."""
        key = tuple(kwargs.get("request_id") or ())
        if not key or self._scene is None or self._scene[0] != key:
            self._scene = (key, open_scene(self.trainer, completions, kwargs))
        return self._scene[1]

    def _write_down(self, reward: Reward, verdict: Verdict, scene: Scene) -> None:
        for level, line in verdict.lines:
            once(line, lambda level=level, line=line: self.tell(level, line))
        undefined = sum(value is None for value in verdict.values)
        if undefined > 0:
            once(
                f"undefined {reward.name}",
                lambda: self.tell(
                    "warn",
                    f'reward "{reward.name}" has no value for {undefined} of {scene.total} completions. ms-swift would count '
                    "each as 0, which is the best value if rewards are negative; each gets the mean of its group instead, so "
                    "that its advantage is 0.",
                ),
            )
        if undefined > 0:
            log_metrics(self.trainer, {f"rewards/{reward.label}/null_frac": undefined / scene.total})
        log_metrics(self.trainer, verdict.metrics)
        tdr = verdict.columns.get("tdr")
        if not reward.needs_attention:
            self._others[reward.label] = verdict.values
        if tdr is not None:
            self._tdr = (tdr, scene.group_size)
        if getattr(self.trainer, "dynamic_sample", False):
            # Batches are judged before it is known which of their rows are kept, so columns would not match the rows.
            return
        for name, values in verdict.columns.items():
            log_column(self.trainer, name, values)
