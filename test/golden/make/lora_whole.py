"""A LoRA adapter on everything that can carry one, and modules that are trained whole, by PEFT.

usage: python lora_whole.py NAME/model NAME/golden        (after golden.py)
Writes NAME/golden/lora_whole/: the adapter as PEFT saves it, and values.safetensors with
  CASE.logits      rows that predict the completion, plus one
  CASE.loss        sum over completion tokens t of w_t log p_t, w_t = ((t mod 5) - 2) / T
  grad.NAME        gradients of the loss of two_images, by the names of the saved file
"""
import json
import os
import shutil
import sys

os.environ['CUDA_VISIBLE_DEVICES'] = ''
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

checkpoint, golden = sys.argv[1], sys.argv[2]
out = os.path.join(golden, 'lora_whole')
model = AutoModelForImageTextToText.from_pretrained(checkpoint, attn_implementation='eager', dtype=torch.float32).eval()
config = LoraConfig(
    r=2, lora_alpha=3, use_rslora=True, lora_dropout=0.1, task_type='CAUSAL_LM',
    # linear layers of both towers, the mergers, the patch embedding (a convolution) and the head, but one layer
    target_modules=r'.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj|qkv|proj|(linear_)?fc[12]|mlp\.[02])|lm_head',
    exclude_modules=r'.*layers\.1\.mlp\.up_proj',
    rank_pattern={'q_proj': 3, r'layers\.0\.mlp\.down_proj': 1}, alpha_pattern={'v_proj': 5, r'visual\..*proj': 7},
    modules_to_save=['embed_tokens', 'input_layernorm'])
peft = get_peft_model(model, config)
generator = torch.Generator().manual_seed(5)
with torch.no_grad():
    for name, p in peft.named_parameters():
        if 'lora_B' in name:
            p.copy_(0.05 * torch.randn(p.shape, generator=generator))
        elif p.requires_grad and 'lora_A' not in name:
            p.add_(0.02 * torch.randn(p.shape, generator=generator))
peft.eval()  # dropout is stated in the config, and off
cases = {c['name']: c for c in json.load(open(golden + '/cases.json'))['cases']}
tensors = load_file(golden + '/tensors.safetensors')
values = {}
for name in ['two_images', 'text_only' if 'text_only' in cases else [n for n, c in cases.items() if not c['image_grid_thw']][0]]:
    case = cases[name]
    completion = torch.tensor(case['completion_ids'])
    ids = torch.tensor([case['prompt_ids'] + case['completion_ids']])
    kwargs = {}
    if case['image_grid_thw']:
        types = torch.zeros_like(ids)
        types[ids == model.config.image_token_id] = 1
        kwargs = dict(pixel_values=tensors[name + '.pixel_values'], image_grid_thw=torch.tensor(case['image_grid_thw']), mm_token_type_ids=types)
    logits = peft(input_ids=ids, attention_mask=torch.ones_like(ids), **kwargs).logits[0, len(case['prompt_ids']) - 1:]
    logps = logits[:-1].log_softmax(-1).gather(1, completion[:, None])[:, 0]
    weights = torch.tensor([((t % 5) - 2) / len(completion) for t in range(len(completion))])
    loss = (weights * logps).sum()
    values[name + '.logits'] = logits.detach().contiguous()
    values[name + '.loss'] = loss.detach().reshape(1)
    if name == 'two_images':
        loss.backward()
peft.peft_config['default'].base_model_name_or_path = 'model'
shutil.rmtree(out, ignore_errors=True)
peft.save_pretrained(out)
os.remove(out + '/README.md')
saved = load_file(out + '/adapter_model.safetensors')
for name, p in peft.named_parameters():
    if p.grad is not None:
        stored = name.replace('.modules_to_save.default', '').replace('.default', '')
        assert stored in saved, stored
        values['grad.' + stored] = p.grad.contiguous()
save_file(values, out + '/values.safetensors')
print(len(saved), 'tensors', {k: v.item() for k, v in values.items() if k.endswith('loss')})
