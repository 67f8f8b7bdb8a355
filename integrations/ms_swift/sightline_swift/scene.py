"""The completions of one reward call, over all ranks: encoded once and measured once, whichever rewards look at them."""

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
    #: Of this rank.
    completions: list[str]
    rows: list[dict[str, Any]]
    sequences: list[Encoded]
    #: Of this rank; None until a reward asked for them.
    masses: Masses | None
    #: Completions of each rank.
    counts: list[int]
    group_size: int
    #: What was made of it for one reward and serves the next as well, by name.
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def own(self, values: Sequence[Any], rank: int) -> list[Any]:
        """This rank's part of what was made for all."""
        first = sum(self.counts[:rank])
        return list(values[first : first + self.counts[rank]])


def open_scene(trainer: Any, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> Scene:
    """One collective call."""
    rows = rows_of(kwargs, len(completions))
    sequences: list[Encoded] = []

    def encode_all() -> int:
        check_rollout(trainer)
        if not rows:
            raise SightlineError("a rank has no completion to judge", "choose a batch that every rank has a part of")
        sequences.extend(encode(trainer, rows))
        return len(sequences)

    counts = ranks.together(encode_all, "encode")
    size = trainer.num_generations if trainer.model.training else trainer.num_generations_eval
    texts = [text if isinstance(text, str) else decoded(trainer, text) for text in completions]
    return Scene(texts, rows, sequences, None, counts, size)


def measure_scene(scene: Scene, measurement: Measurement) -> None:
    """One collective call, and as many forwards on every rank."""
    if scene.masses is not None:
        return
    forwards = measurement.forwards(max(scene.counts))

    def measure() -> list[float]:
        scene.masses, differences = measurement.masses(scene.sequences, forwards)
        return differences

    differences = ranks.together(measure, "measure")
    measurement.settle([difference for part in differences for difference in part])


def check_rollout(trainer: Any) -> None:
    """:raises SightlineError: completions do not come in groups of num_generations"""
    if getattr(trainer, "dynamic_num_samples", False):
        raise SightlineError(
            "rollouts with a changing number of samples a prompt (multi-turn schedulers) have no groups that an attention "
            "reward could be compared in",
            "use single-turn rollouts",
        )


def decoded(trainer: Any, content: Any) -> str:
    """A completion that ms-swift holds as ids."""
    ids = content["token_ids"] if isinstance(content, dict) else content
    return trainer.processing_class.decode(ids)
