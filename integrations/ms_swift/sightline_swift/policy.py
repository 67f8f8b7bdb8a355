"""Finds the model inside its wrappers, its decoder, and its configs. Knows transformers, PEFT and accelerate."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch

from .errors import SightlineError

#: The ratio uses this many last layers, or all if the model has fewer.
LAYERS = 8


def unwrap_policy(model: Any, accelerator: Any = None) -> Any:
    """The transformers model, unwrapped from DistributedDataParallel's or DeepSpeed's ``.module`` and PEFT's ``base_model.model``."""
    if accelerator is not None:
        model = accelerator.unwrap_model(model)
    while hasattr(model, "module") and isinstance(model.module, torch.nn.Module):
        model = model.module
    if hasattr(model, "peft_config") and hasattr(model, "base_model"):
        model = model.base_model.model
    return model


def decoder_of(model: Any) -> Any:
    """The text decoder, whose ``layers`` each have a ``self_attn``.

    :raises SightlineError: the model has no such decoder
    """
    inner = getattr(model, "model", model)
    decoder = getattr(inner, "language_model", inner)
    layers = getattr(decoder, "layers", None)
    if layers is None or any(not hasattr(layer, "self_attn") for layer in layers):
        raise SightlineError(
            f"{type(model).__name__} has no text decoder whose layers have a self_attn, so its attention cannot be measured",
            "use a model of the Qwen2.5-VL architecture, or one with the same structure in transformers",
        )
    return decoder


def attention_modules(model: Any) -> list[Any]:
    """The attention modules of the last layers, in order."""
    return [layer.self_attn for layer in decoder_of(model).layers][-LAYERS:]


def attention_functions(model: Any) -> tuple[Any, Any]:
    """The table in which transformers looks up the attention function at every forward, and the default function.

    :raises SightlineError: the model does not use the table
    """
    module = sys.modules[type(attention_modules(model)[0]).__module__]
    functions = getattr(module, "ALL_ATTENTION_FUNCTIONS", None)
    default = getattr(module, "eager_attention_forward", None)
    if functions is None or default is None or not hasattr(functions, "get_interface"):
        raise SightlineError(
            f"{module.__name__} does not look up its attention in ALL_ATTENTION_FUNCTIONS, so queries and keys cannot be measured",
            "set SIGHTLINE_ATTN_PROBE=eager, or use the transformers version in integrations/ms_swift/requirements.txt",
        )
    return functions, default


def configs_of(model: Any) -> list[Any]:
    """All configs from which a forward reads the attention implementation: the model's, its text_config, and the decoder's."""
    found: list[Any] = []
    decoder = decoder_of(model)
    for config in (model.config, getattr(model.config, "text_config", None), decoder.config):
        if config is not None and not any(config is other for other in found):
            found.append(config)
    return found


@contextlib.contextmanager
def quiet(model: Any) -> Iterator[None]:
    """Turns off gradients, dropout and gradient checkpointing. Restores all modules afterwards, also after an error."""
    training = [(module, module.training) for module in model.modules()]
    checkpointing = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    model.eval()
    for module in checkpointing:
        module.gradient_checkpointing = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in checkpointing:
            module.gradient_checkpointing = True
        for module, was in training:
            module.training = was
