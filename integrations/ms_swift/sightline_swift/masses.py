"""Attention masses: how much each completion row gives to all visual and to all text columns, mean over heads.

Knows tensors and spans; knows neither where the tensors come from nor what becomes of the masses.
"""

from __future__ import annotations

import torch

from .spans import Spans

#: Rows whose scores are held at once.
CHUNK = 256


def masses_of_weights(weights: torch.Tensor, spans: Spans, offset: int) -> torch.Tensor:
    """From attention weights after softmax.

    :param weights: (H, S, S)
    :param offset: padding before the sequence
    :returns: (T, 2)
    """
    first = offset + spans.prompt_end
    rows = weights[:, first : first + spans.rows, offset : offset + spans.prompt_end].float().mean(0)
    return rows @ _indicator(spans, spans.prompt_end, weights.device)


def masses_of_queries_and_keys(
    queries: torch.Tensor, keys: torch.Tensor, scaling: float, spans: Spans, offset: int, window: int | None = None
) -> torch.Tensor:
    """From queries and keys after rotary embedding: scores of completion rows only, never S x S.

    Every earlier column takes part in the softmax, the system block too: it is left out of the sums, not of the attention.

    :param queries: (H, S, D)
    :param keys: (KV, S, D)
    :param window: columns that a row sees, itself included; None: all before it
    :returns: (T, 2)
    """
    heads, kv_heads = queries.shape[0], keys.shape[0]
    length = spans.prompt_end + spans.rows
    seen = keys[:, offset : offset + length].float()
    indicator = _indicator(spans, length, queries.device)
    columns = torch.arange(length, device=queries.device)
    parts = []
    for first in range(spans.prompt_end, length, CHUNK):
        end = min(first + CHUNK, length)
        some = queries[:, offset + first : offset + end].float().reshape(kv_heads, heads // kv_heads * (end - first), -1)
        scores = (some @ seen.transpose(1, 2)).mul_(scaling).view(heads, end - first, length)
        rows = torch.arange(first, end, device=queries.device)[:, None]
        hidden = columns > rows
        if window is not None:
            hidden |= columns <= rows - window
        scores.masked_fill_(hidden, float("-inf"))
        parts.append((scores.softmax(-1) @ indicator).mean(0))
    return torch.cat(parts)


def _indicator(spans: Spans, length: int, device: torch.device) -> torch.Tensor:
    """(length, 2): 1 in the first place for a visual column, in the second for a text column."""
    indicator = torch.zeros(length, 2)
    indicator[list(spans.visual), 0] = 1
    indicator[list(spans.text), 1] = 1
    return indicator.to(device)
