"""Logits of adapters that were trained here, as PEFT computes them.

usage: python peft_logits.py MODEL GOLDEN ADAPTER [MERGED]
Loads ADAPTER over MODEL with PEFT, and writes ADAPTER/logits.safetensors: of the case two_images in GOLDEN, the rows that
predict the completion, plus one. Prints the largest difference to MERGED, a checkpoint that `sightline export` has made
with --torch_dtype float32, loaded by transformers alone. The adapters were made by make.sh.
"""
import json
import os
import sys

os.environ['CUDA_VISIBLE_DEVICES'] = ''
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

model_dir, golden, adapter = sys.argv[1:4]
case = next(c for c in json.load(open(golden + '/cases.json'))['cases'] if c['name'] == 'two_images')
pixels = load_file(golden + '/tensors.safetensors')['two_images.pixel_values']


def load(path):
    return AutoModelForImageTextToText.from_pretrained(path, attn_implementation='eager', dtype=torch.float32).eval()


def logits_of(model):
    ids = torch.tensor([case['prompt_ids'] + case['completion_ids']])
    types = torch.zeros_like(ids)
    types[ids == model.config.image_token_id] = 1
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels,
                    image_grid_thw=torch.tensor(case['image_grid_thw']), mm_token_type_ids=types)
    return out.logits[0, len(case['prompt_ids']) - 1:].contiguous()


base = logits_of(load(model_dir))
model = PeftModel.from_pretrained(load(model_dir), adapter)
loaded = {n for n, p in model.named_parameters() if 'lora_B' in n and p.abs().sum() > 0}
stored = [k for k in load_file(adapter + '/adapter_model.safetensors') if 'lora_B' in k]
assert len(loaded) == len(stored), (len(loaded), len(stored))
logits = logits_of(model)
print('adapter changes logits by', (logits - base).abs().max().item(), 'of', logits.abs().max().item())
save_file({'two_images.logits': logits}, adapter + '/logits.safetensors')
if len(sys.argv) > 4:
    merged = logits_of(load(sys.argv[4]))
    print('merged differs by', ((merged - logits).abs().max() / logits.abs().max()).item(), 'of the largest logit')
