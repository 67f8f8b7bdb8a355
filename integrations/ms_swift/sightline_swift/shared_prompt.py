"""Runs completions on the cached keys and values of their prompts, so that a prompt and its images are computed once per group.

Knows batches and the cache of transformers, not attention masses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from .policy import decoder_of
from .rows import Batch, Encoded

#: Inputs with one entry per token, on their last axis. All others belong to images.
PER_TOKEN = ("input_ids", "attention_mask", "position_ids", "text_position_ids", "mm_token_type_ids", "token_type_ids")


@dataclass
class Halves:
    """A batch cut at the ends of its prompts."""

    #: Inputs of the distinct prompts, padded on the left.
    prompts: dict[str, Any]
    #: The prompt of each completion, as a row of ``prompts``.
    prompt_of: list[int]
    #: Inputs of the completions, padded on the right, without the cache.
    completions: dict[str, Any]
    #: Padding before each sequence, as its cache has it.
    offsets: list[int]


def can_share(policy: Any, batch_size: int, group_size: int) -> bool:
    """Whether completions can share their prompts. The same on every rank, because it does not depend on the completions.

    A decoder with sliding windows keeps only part of its keys in the cache, so the masses of a prompt could not be measured.
    """
    config = decoder_of(policy).config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return min(batch_size, group_size) > 1 and kinds == {"full_attention"} and not getattr(config, "use_sliding_window", False)


def distinct_prompts(sequences: Sequence[Encoded]) -> tuple[list[int], list[int]]:
    """A sequence for each distinct prompt, and for each sequence the number of its prompt.

    The sequence has a completion if any with this prompt has one: its first position is that of all of them.
    """
    chosen: list[int] = []
    numbers: list[int] = []
    for i, sequence in enumerate(sequences):
        number = next((n for n, first in enumerate(chosen) if _same_prompt(sequences[first], sequence)), len(chosen))
        if number == len(chosen):
            chosen.append(i)
        elif not sequences[chosen[number]].completion_ids:
            chosen[number] = i
        numbers.append(number)
    return chosen, numbers


def cut(batch: Batch, sequences: Sequence[Encoded], prompt_of: Sequence[int]) -> Halves:
    """Cuts a batch of the distinct prompts, each with its first completion, and adds all completions.

    :param batch: the sequences that bring a distinct prompt, collated
    :param sequences: all of them
    :param prompt_of: the row of ``batch`` with the prompt of each sequence
    """
    ends = [offset + spans.prompt_end for offset, spans in zip(batch.offsets, batch.spans)]
    widest = max(spans.prompt_end for spans in batch.spans)
    prompts = dict(batch.inputs)
    for name in PER_TOKEN:
        value = prompts.get(name)
        if value is None:
            continue
        rows = [value[..., row, begin:end] for row, (begin, end) in enumerate(zip(batch.offsets, ends))]
        prompts[name] = torch.stack([_padded(row, widest, left=True) for row in rows], dim=-2)
    device = batch.inputs["input_ids"].device
    longest = max(1, *(len(sequence.completion_ids) for sequence in sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long, device=device)
    seen = torch.zeros(len(sequences), widest + longest, dtype=torch.long, device=device)
    offsets = []
    for row, (sequence, prompt) in enumerate(zip(sequences, prompt_of)):
        count = len(sequence.completion_ids)
        offset = widest - len(sequence.prompt_ids)
        ids[row, :count] = torch.tensor(sequence.completion_ids, dtype=torch.long)
        seen[row, offset : widest + count] = 1
        offsets.append(offset)
    completions: dict[str, Any] = {"input_ids": ids, "attention_mask": seen}
    for name in ("position_ids", "text_position_ids"):
        value = batch.inputs.get(name)
        if value is None:
            continue
        # In a completion, all axes of a position count up by one.
        columns = [min(ends[prompt], value.shape[-1] - 1) for prompt in prompt_of]
        first = torch.stack([value[..., prompt, column] for prompt, column in zip(prompt_of, columns)], dim=-1)
        completions[name] = first[..., None] + torch.arange(longest, device=device)
    return Halves(prompts, list(prompt_of), completions, offsets)


def new_cache(policy: Any) -> Any:
    return DynamicCache(config=decoder_of(policy).config)


@contextlib.contextmanager
def using(policy: Any, cache: Any) -> Iterator[None]:
    """Lets the decoder read and fill the cache in every forward.

    It is given to the decoder itself, because ms-swift's hook on the model passes on only the inputs that it knows.
    """

    def add(_module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "past_key_values": cache}

    handle = decoder_of(policy).register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def repeat(cache: Any, rows: Sequence[int]) -> None:
    """Replaces the cache by the keys and values of these rows, in this order."""
    cache.batch_select_indices(torch.tensor(list(rows), dtype=torch.long))


def _same_prompt(one: Encoded, other: Encoded) -> bool:
    if one.prompt_ids != other.prompt_ids:
        return False
    names = [name for name, value in one.encoded.items() if torch.is_tensor(value) and name not in PER_TOKEN and name != "labels"]
    return all(torch.is_tensor(other.encoded.get(name)) and torch.equal(one.encoded[name], other.encoded[name]) for name in names)


def _padded(row: torch.Tensor, width: int, *, left: bool) -> torch.Tensor:
    missing = width - row.shape[-1]
    return torch.nn.functional.pad(row, (missing, 0) if left else (0, missing))
