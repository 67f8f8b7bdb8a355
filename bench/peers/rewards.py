"""The two rewards that the Python peers are timed with: a trivial one, and one eager attention forward per completion.

Knows transformers models and processors; knows nothing of the trainers.
"""

import os
import time

import torch

EPS = 1e-6
LAST_LAYERS = 8
ATTENTION_KEYS = ("_attn_implementation", "attn_implementation", "llm_attn_implementation")


def trivial(texts, completion_ids):
    """A number of the text alone, different within a group.

    Each call adds a line to the file PEERS_CLOCK, which makes one a step: the time in ms, and the completions' lengths in tokens.
    """
    with open(os.environ["PEERS_CLOCK"], "a") as clock:
        print(f"{time.time() * 1000:.3f}", *map(len, completion_ids), file=clock)
    return [sum(map(ord, text)) % 10 / 10 for text in texts]


def negative_tdr(model, processor, conversations, images, completion_ids):
    """-TDR of every completion, each from an eager no-grad forward of its own: the text-dominance ratio of DDAPO.

    conversations: messages of the prompt, with {"type": "image"} parts; images: one PIL image each; completion_ids: lists of ids.
    """
    training = model.training
    switched = _to_eager(model.config) + _to_eager(model.config.get_text_config())
    model.eval()
    try:
        with torch.no_grad():
            return [
                -_text_dominance_ratio(model, processor, *sample)
                for sample in zip(conversations, images, completion_ids, strict=True)
            ]
    finally:
        for config, key, value in switched:
            setattr(config, key, value)
        model.train(training)


def _to_eager(config):
    """Sets every attention key the config has; returns what it takes to set them back."""
    before = [(config, key, getattr(config, key)) for key in ATTENTION_KEYS if hasattr(config, key)]
    for _, key, _ in before:
        setattr(config, key, "eager")
    return before


def _text_dominance_ratio(model, processor, conversation, image, completion):
    text = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    inputs = dict(processor(text=[text], images=[image], return_tensors="pt"))
    prompt_ids = inputs["input_ids"][0]
    length = prompt_ids.numel()
    ids = torch.cat([prompt_ids, torch.tensor(completion)])[None]
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = (ids == model.config.image_token_id).to(inputs["mm_token_type_ids"].dtype)

    attentions = model(**inputs, output_attentions=True).attentions
    if not attentions or attentions[0] is None:
        raise RuntimeError("the forward returned no attention weights: the switch to eager did not reach it")

    # The system block is no part of the prompt here; the user's turn begins at the second <|im_start|>.
    turns = (prompt_ids == processor.tokenizer.convert_tokens_to_ids("<|im_start|>")).nonzero().flatten()
    columns = torch.arange(length) >= turns[1]
    visual = columns & (prompt_ids == model.config.image_token_id)
    words = columns & ~visual
    shares = []
    for layer in attentions[-LAST_LAYERS:]:
        rows = layer[0].float().mean(0)[length:, :length]  # (completion, prompt), mean over heads
        total = rows[:, columns].sum(1) + EPS
        shares.append(torch.stack([rows[:, visual].sum(1) / total, rows[:, words].sum(1) / total]))
    mass_visual, mass_words = torch.stack(shares).mean(dim=(0, 2))
    density_visual, density_words = mass_visual / visual.sum(), mass_words / words.sum()
    return (density_words / (density_visual + EPS)).item()
