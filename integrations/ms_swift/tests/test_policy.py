"""Tests finding the policy inside its wrappers, the switch to eager attention, and restoring after success and error.

Also compares golden ratios with transformers alone: all cases of a checkpoint in one batch, padded on either side.
"""

import sys
import unittest
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1])]

from golden import CHECKPOINTS, GOLDEN, cases_of, model_of, relative
from sightline_swift.attention_switch import ATTN_IMPL_KEYS, eager_attention
from sightline_swift.errors import SightlineError
from sightline_swift.policy import configs_of, quiet, unwrap_policy
from sightline_swift.probes import eager_probe, fused_probe
from sightline_swift.ratio import ratio_of_masses
from sightline_swift.spans import spans_of, system_prefix

BOUND = 1e-5


def load(checkpoint: str, attention: str = "sdpa", dtype: torch.dtype = torch.float32):
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(model_of(checkpoint), attn_implementation=attention, dtype=dtype)


class Wrapper(torch.nn.Module):
    """Wraps a model like DistributedDataParallel and DeepSpeed's engine."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module


class Golden(unittest.TestCase):
    def ratios(self, checkpoint: str, model, probe, side: str) -> list[float | None]:
        processor = AutoProcessor.from_pretrained(model_of(checkpoint))
        sequences, spans, pixels, grids = [], [], [], []
        for case in cases_of(checkpoint):
            messages, images = [], []
            for message in case["messages"]:
                parts = message["content"] if isinstance(message["content"], list) else [{"type": "text", "text": message["content"]}]
                images += [
                    Image.open(GOLDEN / checkpoint / "golden" / "images" / part["image"]).convert("RGB")
                    for part in parts
                    if part["type"] == "image"
                ]
                messages.append({"role": message["role"], "content": parts})
            text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            encoded = processor(text=[text], images=images or None, return_tensors="pt")
            prompt = encoded["input_ids"][0].tolist()
            self.assertEqual(prompt, case["prompt_ids"])
            prefix = system_prefix(prompt, processor.tokenizer)
            self.assertEqual(prefix, case["system_prefix_tokens"])
            ids = case["completion_ids"]
            sequences.append(prompt + ids)
            spans.append(spans_of(prompt, prefix, len(ids), [model.config.image_token_id, model.config.video_token_id]))
            if images:
                pixels.append(encoded["pixel_values"])
                grids.append(encoded["image_grid_thw"])
        width = max(map(len, sequences))
        offsets = [width - len(ids) if side == "left" else 0 for ids in sequences]
        batch = torch.zeros(len(sequences), width, dtype=torch.long)
        mask = torch.zeros_like(batch)
        for row, (ids, offset) in enumerate(zip(sequences, offsets)):
            batch[row, offset : offset + len(ids)] = torch.tensor(ids)
            mask[row, offset : offset + len(ids)] = 1
        with quiet(model), probe(model, spans, offsets) as measured:
            model(
                input_ids=batch,
                attention_mask=mask,
                pixel_values=torch.cat(pixels),
                image_grid_thw=torch.cat(grids),
                mm_token_type_ids=(batch == model.config.image_token_id).long(),
                use_cache=False,
                logits_to_keep=1,
            )
        return [ratio_of_masses(measured.of(row), span)[0] for row, span in enumerate(spans)]

    def test_one_padded_batch(self) -> None:
        for checkpoint in CHECKPOINTS:
            expected = [case["tdr"] and case["tdr"]["tdr"] for case in cases_of(checkpoint)]
            for name, probe, attention in (("fused", fused_probe, "sdpa"), ("fused", fused_probe, "eager"), ("eager", eager_probe, "sdpa")):
                model = load(checkpoint, attention)
                for side in ("left", "right"):
                    with self.subTest(checkpoint=checkpoint, probe=name, attention=attention, side=side):
                        found = self.ratios(checkpoint, model, probe, side)
                        self.assertEqual([value is None for value in found], [value is None for value in expected])
                        largest = max(relative(a, b) for a, b in zip(found, expected) if b is not None)
                        print(f"{checkpoint}, {name} under {attention}, padded {side}: {largest:.1e} from golden")
                        self.assertLess(largest, BOUND)
                self.assertEqual(model.config.text_config._attn_implementation, attention)


class Unwrap(unittest.TestCase):
    def test_wrappers_inside_wrappers(self) -> None:
        model = load("published")
        self.assertIs(unwrap_policy(model), model)
        self.assertIs(unwrap_policy(Wrapper(Wrapper(model))), model)
        adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
        self.assertIs(unwrap_policy(Wrapper(adapted)), model)

    def test_a_model_without_such_layers_is_told(self) -> None:
        with self.assertRaisesRegex(SightlineError, "Linear has no text decoder"):
            with eager_attention(torch.nn.Linear(1, 1)):
                pass


class PutBack(unittest.TestCase):
    def setUp(self) -> None:
        self.model = load("published")
        self.model.config.attn_implementation = "flash_attention_2"
        self.model.config.text_config.llm_attn_implementation = "sdpa"

    def state(self) -> list:
        keys = [[getattr(config, key, None) for key in ATTN_IMPL_KEYS] for config in configs_of(self.model)]
        modes = [(module.training, getattr(module, "gradient_checkpointing", None)) for module in self.model.modules()]
        return [keys, modes]

    def test_eager_sets_every_key_that_is_there_and_no_other(self) -> None:
        with eager_attention(self.model):
            outer, text = configs_of(self.model)
            self.assertEqual(outer._attn_implementation, "eager")
            self.assertEqual(outer.attn_implementation, "eager")
            self.assertFalse(hasattr(outer, "llm_attn_implementation"))
            self.assertEqual((text._attn_implementation, text.llm_attn_implementation), ("eager", "eager"))

    def test_all_is_as_before_after_success_and_error(self) -> None:
        self.model.train()
        self.model.model.visual.eval()
        self.model.gradient_checkpointing_enable()
        before = self.state()
        spans = [spans_of([1, 2, 3], 0, 1, [None])]
        for probe in (eager_probe, fused_probe):
            for fails in (False, True):
                with self.subTest(probe=probe.__name__, fails=fails):
                    try:
                        with quiet(self.model), probe(self.model, spans, [0]):
                            self.assertFalse(torch.is_grad_enabled())
                            self.assertFalse(self.model.is_gradient_checkpointing)
                            self.assertFalse(self.model.training)
                            if fails:
                                raise RuntimeError("out of memory")
                    except RuntimeError as error:
                        self.assertEqual(str(error), "out of memory")
                    self.assertEqual(self.state(), before)
                    self.assertTrue(torch.is_grad_enabled())
                    modeling = sys.modules[type(self.model).__module__]
                    self.assertNotIn("attend", modeling.ALL_ATTENTION_FUNCTIONS["sdpa"].__name__)
                    self.assertFalse(any(layer.self_attn._forward_hooks for layer in self.model.model.language_model.layers))


if __name__ == "__main__":
    unittest.main()
