"""The completions of one reward call over all ranks, encoded once and measured once for all rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import ranks
from .errors import SightlineError
from .measure import Masses, Measurement
from .rows import Encoded, encode, rows_of


@dataclass
class Scene:
    #: Completions, rows and sequences are those of this rank.
    completions: list[str]
    rows: list[dict[str, Any]]
    sequences: list[Encoded]
    #: Those of this rank; None until a reward needs them.
    masses: Masses | None
    #: Number of completions of each rank.
    counts: list[int]
    group_size: int
    #: Results that several rewards share, by name.
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def own(self, values: Sequence[Any], rank: int) -> list[Any]:
        """The part of the given rank in a list of values for all completions."""
        first = sum(self.counts[:rank])
        return list(values[first : first + self.counts[rank]])


def open_scene(trainer: Any, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> Scene:
    """Encodes the completions. Makes one collective call."""
    rows = rows_of(kwargs, len(completions))
    sequences: list[Encoded] = []

    def encode_all() -> int:
        check_rollout(trainer)
        if not rows:
            raise SightlineError("a rank has no completion to judge", "choose a batch size that gives every rank a completion")
        sequences.extend(encode(trainer, rows))
        return len(sequences)

    counts = ranks.together(encode_all, "encode")
    size = trainer.num_generations if trainer.model.training else trainer.num_generations_eval
    texts = [text if isinstance(text, str) else decoded(trainer, text) for text in completions]
    return Scene(texts, rows, sequences, None, counts, size)


def measure_scene(scene: Scene, measurement: Measurement) -> None:
    """Measures attention masses. Makes one collective call, and the same number of forwards on every rank."""
    if scene.masses is not None:
        return
    forwards = measurement.forwards(max(scene.counts))

    def measure() -> list[float]:
        scene.masses, differences = measurement.masses(scene.sequences, forwards)
        return differences

    differences = ranks.together(measure, "measure")
    measurement.settle([difference for part in differences for difference in part])


def check_rollout(trainer: Any) -> None:
    """:raises SightlineError: the completions do not form groups of num_generations"""
    if getattr(trainer, "dynamic_num_samples", False):
        raise SightlineError(
            "rollouts with a varying number of samples per prompt (multi-turn schedulers) have no groups in which attention "
            "rewards can be compared",
            "use single-turn rollouts",
        )


def decoded(trainer: Any, content: Any) -> str:
    """The text of a completion that ms-swift stores as ids."""
    ids = content["token_ids"] if isinstance(content, dict) else content
    return trainer.processing_class.decode(ids)
