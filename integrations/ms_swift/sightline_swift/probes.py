"""Two ways to measure attention during a forward: from the weights of an eager one, or from queries and keys of any kind.

Each is a context around one forward over a padded batch. Its result is complete when the context ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .attention_switch import eager_attention
from .masses import masses_of_queries_and_keys, masses_of_weights
from .policy import attention_functions, attention_modules, decoder_of
from .spans import Spans


@dataclass
class Measured:
    """Attention masses of one batch."""

    #: By layer, then by sequence: (T, 2).
    layers: list[list[torch.Tensor | None]]

    def of(self, row: int) -> np.ndarray | None:
        """The masses (layers, T, 2) of a sequence; None if its spans are undefined or a layer returned none."""
        parts = [layer[row] for layer in self.layers]
        if any(part is None for part in parts):
            return None
        return torch.stack(parts).cpu().numpy()


@contextlib.contextmanager
def fused_probe(model: Any, spans: Sequence[Spans], offsets: Sequence[int]) -> Iterator[Measured]:
    """Replaces the attention function of the config by one that measures and then calls the original, so the forward is unchanged."""
    functions, default = attention_functions(model)
    implementation = decoder_of(model).config._attn_implementation
    true_function = functions.get_interface(implementation, default)
    layer_of = {id(module): i for i, module in enumerate(attention_modules(model))}
    measured = Measured([[None] * len(spans) for _ in layer_of])

    def attend(module: Any, query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        layer = layer_of.get(id(module))
        if layer is not None:
            scaling = kwargs.get("scaling")
            scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
            for row, (span, offset) in enumerate(zip(spans, offsets)):
                if span.undefined is None:
                    measured.layers[layer][row] = masses_of_queries_and_keys(
                        query[row], key[row], scaling, span, offset, kwargs.get("sliding_window")
                    )
        return true_function(module, query, key, *args, **kwargs)

    own = functions._local_mapping
    before = own.get(implementation)
    functions[implementation] = attend
    try:
        yield measured
    finally:
        if before is None:
            del functions[implementation]
        else:
            functions[implementation] = before


@contextlib.contextmanager
def eager_probe(model: Any, spans: Sequence[Spans], offsets: Sequence[int]) -> Iterator[Measured]:
    """Switches to eager attention and reduces each layer's weights at once, so that only one layer's S x S exists at a time.

    Uses hooks on the layers, because ms-swift's own hook removes ``output_attentions`` before the model gets it.
    """
    modules = attention_modules(model)
    measured = Measured([[None] * len(spans) for _ in modules])

    def catch(layer: int):
        def hook(_module: Any, _args: Any, output: Any) -> None:
            weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
            if weights is None:
                return
            for row, (span, offset) in enumerate(zip(spans, offsets)):
                if span.undefined is None:
                    measured.layers[layer][row] = masses_of_weights(weights[row], span, offset)

        return hook

    handles = [module.register_forward_hook(catch(layer)) for layer, module in enumerate(modules)]
    try:
        with eager_attention(model):
            yield measured
    finally:
        for handle in handles:
            handle.remove()
