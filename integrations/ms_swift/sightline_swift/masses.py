"""Attention masses: the attention of each completion row to all visual and to all text columns, as the mean over heads.

Knows tensors and spans, not where the tensors come from or what the masses are used for.
"""

from __future__ import annotations

import torch

from .spans import Spans

#: Number of rows whose scores are in memory at once.
CHUNK = 256


def masses_of_weights(weights: torch.Tensor, spans: Spans, offset: int) -> torch.Tensor:
    """Masses from attention weights after softmax.

    :param weights: (H, S, S)
    :param offset: number of padding tokens before the sequence
    :returns: (T, 2)
    """
    first = offset + spans.prompt_end
    rows = weights[:, first : first + spans.rows, offset : offset + spans.prompt_end].float().mean(0)
    return rows @ _indicator(spans, spans.prompt_end, weights.device)


def masses_of_queries_and_keys(
    queries: torch.Tensor, keys: torch.Tensor, scaling: float, spans: Spans, offset: int, window: int | None = None
) -> torch.Tensor:
    """Masses from queries and keys after rotary embedding. Computes scores of completion rows only, never S x S.

    The softmax is over all earlier columns, including the system block, which is only left out of the sums.

    :param queries: (H, S, D), or those of the last positions only
    :param keys: (KV, S, D)
    :param window: number of columns that a row sees, including its own; None means all earlier ones
    :returns: (T, 2)
    """
    heads, kv_heads = queries.shape[0], keys.shape[0]
    length = spans.prompt_end + spans.rows
    seen = keys[:, offset : offset + length].float()
    before = keys.shape[1] - queries.shape[1]  # positions without queries
    indicator = _indicator(spans, length, queries.device)
    columns = torch.arange(length, device=queries.device)
    parts = []
    for first in range(spans.prompt_end, length, CHUNK):
        end = min(first + CHUNK, length)
        some = queries[:, offset + first - before : offset + end - before].float().reshape(kv_heads, heads // kv_heads * (end - first), -1)
        scores = (some @ seen.transpose(1, 2)).mul_(scaling).view(heads, end - first, length)
        rows = torch.arange(first, end, device=queries.device)[:, None]
        hidden = columns > rows
        if window is not None:
            hidden |= columns <= rows - window
        scores.masked_fill_(hidden, float("-inf"))
        parts.append((scores.softmax(-1) @ indicator).mean(0))
    return torch.cat(parts)


def _indicator(spans: Spans, length: int, device: torch.device) -> torch.Tensor:
    """(length, 2): the first entry is 1 for a visual column, the second for a text column."""
    indicator = torch.zeros(length, 2)
    indicator[list(spans.visual), 0] = 1
    indicator[list(spans.text), 1] = 1
    return indicator.to(device)
