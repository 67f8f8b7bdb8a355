"""Turns ms-swift's rows of a reward call into token ids, spans and padded batches. Knows ms-swift's samples and template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from swift.rl_core.data import GRPOSample
from swift.rlhf_trainers.utils import encode_sample

from .errors import SightlineError
from .spans import Spans, spans_of, system_prefix

#: Entries of a row that are not columns of the dataset, or that are passed to rewards in another way.
NOT_COLUMNS = frozenset({"trainer_state", "messages", "images", "response_token_ids", "trajectory_inputs"})


@dataclass
class Encoded:
    """One completion and its prompt, as the policy gets them."""

    sample: GRPOSample
    #: ms-swift's own encoding, for its collator.
    encoded: dict[str, Any]
    prompt_ids: list[int]
    completion_ids: list[int]
    system_prefix: int
    spans: Spans


@dataclass
class Batch:
    """Sequences padded to one length."""

    inputs: dict[str, Any]
    spans: list[Spans]
    #: Number of padding tokens before each sequence.
    offsets: list[int]


def rows_of(kwargs: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """One dictionary per completion, with all entries that have one value per completion."""
    columns = {name: values for name, values in kwargs.items() if isinstance(values, list) and len(values) == count}
    return [{name: values[i] for name, values in columns.items()} for i in range(count)]


def encode(trainer: Any, rows: Sequence[Mapping[str, Any]]) -> list[Encoded]:
    """Uses the ids that were sampled, and never encodes the text again.

    :raises SightlineError: the template did not keep the sampled ids
    """
    template, tokenizer = trainer.template, _tokenizer(trainer)
    config = trainer.model.config
    visual_ids = [getattr(config, name, None) for name in ("image_token_id", "video_token_id")]
    sequences = []
    with trainer._template_context(template):
        for row in rows:
            sample = GRPOSample.from_row({name: value for name, value in row.items() if not _is_empty(value)})
            completion = _flat(sample.response_token_ids)
            encoded = encode_sample(sample, template, encode_prompt_only=not completion)
            encoded.pop("_extra_kwargs", None)
            ids = list(encoded["input_ids"])
            end = len(ids) - len(completion)
            if ids[end:] != completion:
                raise SightlineError(
                    "ms-swift's template did not end the sequence with the sampled ids, so the completion's rows are unknown",
                    "use single-turn rollouts, and the version of ms-swift in integrations/ms_swift/requirements.txt",
                )
            prefix = system_prefix(ids[:end], tokenizer)
            spans = spans_of(ids[:end], prefix, len(completion), visual_ids)
            sequences.append(Encoded(sample, encoded, ids[:end], completion, prefix, spans))
    return sequences


def collate(trainer: Any, sequences: Sequence[Encoded]) -> Batch:
    template = trainer.template
    with trainer._template_context(template):
        inputs = template.data_collator([dict(sequence.encoded) for sequence in sequences])
    inputs.pop("labels", None)
    device = trainer.accelerator.device
    inputs = {name: value.to(device) if torch.is_tensor(value) else value for name, value in inputs.items()}
    width = inputs["input_ids"].shape[1]
    left = template.padding_side == "left"
    offsets = [width - len(sequence.encoded["input_ids"]) if left else 0 for sequence in sequences]
    return Batch(inputs, [sequence.spans for sequence in sequences], offsets)


def _is_empty(value: Any) -> bool:
    """Whether the row has no value in a column. ms-swift leaves such columns out of its samples."""
    return value is None or (isinstance(value, (list, dict)) and len(value) == 0)


def _tokenizer(trainer: Any) -> Any:
    processor = trainer.processing_class
    return getattr(processor, "tokenizer", processor)


def _flat(ids: Sequence[Any]) -> list[int]:
    """Ids as one list. ms-swift nests them by turn if there can be several turns."""
    if ids and isinstance(ids[0], (list, tuple)):
        return [token for turn in ids for token in turn]
    return list(ids)
