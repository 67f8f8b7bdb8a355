"""The model inside its wrappers, its decoder, and the configs its forward reads. Knows transformers, PEFT and accelerate."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch

from .errors import SightlineError

#: Layers that take part in the ratio: the last ones, or all if the model has fewer.
LAYERS = 8


def unwrap_policy(model: Any, accelerator: Any = None) -> Any:
    """DistributedDataParallel's or DeepSpeed's ``.module``, then PEFT's ``base_model.model``: the transformers model."""
    if accelerator is not None:
        model = accelerator.unwrap_model(model)
    while hasattr(model, "module") and isinstance(model.module, torch.nn.Module):
        model = model.module
    if hasattr(model, "peft_config") and hasattr(model, "base_model"):
        model = model.base_model.model
    return model


def decoder_of(model: Any) -> Any:
    """The text decoder, which has ``layers`` with a ``self_attn`` each.

    :raises SightlineError: a model that is built otherwise
    """
    inner = getattr(model, "model", model)
    decoder = getattr(inner, "language_model", inner)
    layers = getattr(decoder, "layers", None)
    if layers is None or any(not hasattr(layer, "self_attn") for layer in layers):
        raise SightlineError(
            f"{type(model).__name__} has no text decoder whose layers have a self_attn: its attention cannot be measured",
            "use a model of the Qwen2.5-VL architecture, or one that transformers builds in the same way",
        )
    return decoder


def attention_modules(model: Any) -> list[Any]:
    """The attention of the last layers, in their order."""
    return [layer.self_attn for layer in decoder_of(model).layers][-LAYERS:]


def attention_functions(model: Any) -> tuple[Any, Any]:
    """The table from which transformers takes the attention function at every forward, and what it takes without an entry.

    :raises SightlineError: a model that does not use the table
    """
    module = sys.modules[type(attention_modules(model)[0]).__module__]
    functions = getattr(module, "ALL_ATTENTION_FUNCTIONS", None)
    default = getattr(module, "eager_attention_forward", None)
    if functions is None or default is None or not hasattr(functions, "get_interface"):
        raise SightlineError(
            f"{module.__name__} does not choose its attention from ALL_ATTENTION_FUNCTIONS: queries and keys cannot be seen",
            "set SIGHTLINE_ATTN_PROBE=eager, or use a transformers version of integrations/ms_swift/requirements.txt",
        )
    return functions, default


def configs_of(model: Any) -> list[Any]:
    """Every config that a forward reads the attention implementation from: the model's, its text_config, the decoder's own."""
    found: list[Any] = []
    decoder = decoder_of(model)
    for config in (model.config, getattr(model.config, "text_config", None), decoder.config):
        if config is not None and not any(config is other for other in found):
            found.append(config)
    return found


@contextlib.contextmanager
def quiet(model: Any) -> Iterator[None]:
    """No gradients, no dropout, no recomputation of blocks; every module is put back as it was, on success and on error."""
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
