"""The rows and columns of a sequence that the text-dominance ratio uses. Knows token ids, not attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spans:
    """Positions in one sequence of a prompt and its completion, without padding."""

    #: The first column, which is the length of the system block.
    start: int
    #: The first row of the completion, which is the length of the prompt.
    prompt_end: int
    #: The number of rows of the completion, T.
    rows: int
    #: Columns of image and video pads.
    visual: tuple[int, ...]
    #: The other columns of the prompt, without the system block.
    text: tuple[int, ...]

    @property
    def undefined(self) -> str | None:
        """The reason why there is no ratio for any attention; None if there can be one."""
        if self.rows == 0:
            return "empty completion"
        if not self.visual:
            return "no visual tokens"
        if not self.text:
            return "no text tokens"
        return None


def spans_of(prompt_ids: Sequence[int], system_prefix: int, rows: int, visual_ids: Sequence[int | None]) -> Spans:
    columns = range(system_prefix, len(prompt_ids))
    visual = tuple(column for column in columns if prompt_ids[column] in visual_ids)
    text = tuple(column for column in columns if prompt_ids[column] not in visual_ids)
    return Spans(system_prefix, len(prompt_ids), rows, visual, text)


def system_prefix(prompt_ids: Sequence[int], tokenizer) -> int:
    """Number of tokens of the system block at the start of a prompt, including its ``<|im_end|>`` and line break; 0 if there is none."""
    start, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_start|>", "<|im_end|>"))
    line_break = tokenizer("\n", add_special_tokens=False)["input_ids"]
    opening = [start, *tokenizer("system\n", add_special_tokens=False)["input_ids"]]
    ids = list(prompt_ids)
    if ids[: len(opening)] != opening or end not in ids:
        return 0
    after = ids.index(end) + 1
    return after + (len(line_break) if ids[after : after + len(line_break)] == line_break else 0)
