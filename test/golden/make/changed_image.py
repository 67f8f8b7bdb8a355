"""Log-probabilities of fixed completions under changed images, by transformers: patches blacked out, a blur, images left out.

usage: python changed_image.py NAME/model NAME/golden
Writes NAME/golden/changed_image.json: prompts with their pictures (PNG, base64), completions, and per change, completion and token
the log-probability at the temperature stated.

Sides of pictures are whole numbers of merged patches, so that no resizing comes between the pixels here and those of the model.
"""
import base64
import io
import json
import os
import sys

os.environ['CUDA_VISIBLE_DEVICES'] = ''
import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import AutoModelForImageTextToText, AutoProcessor

checkpoint, golden = sys.argv[1], sys.argv[2]
model = AutoModelForImageTextToText.from_pretrained(checkpoint, attn_implementation='eager', dtype=torch.float32).eval()
processor = AutoProcessor.from_pretrained(checkpoint)
tokenizer = processor.tokenizer
rng = np.random.default_rng(11)
vision = model.config.vision_config
PATCH, SIDE = vision.patch_size, vision.patch_size * vision.spatial_merge_size
TEMPERATURE, RATIO, SIGMA = 0.8, 0.6, 2.5
END = tokenizer.convert_tokens_to_ids('<|im_end|>')
ORDINARY = min(tokenizer.convert_tokens_to_ids('<|endoftext|>'), model.config.text_config.vocab_size)


def picture(columns, rows):
    width, height = columns * SIDE, rows * SIDE
    image = Image.new('RGB', (width, height), tuple(int(v) for v in rng.integers(150, 256, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(7):
        x, y, r = int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(6, height // 2))
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return np.asarray(image)


def blackened(image, mask):
    """mask [rows, columns] of patches: 1 is black."""
    keep = 1 - np.kron(mask, np.ones((PATCH, PATCH), dtype=np.uint8))
    return image * keep[:, :, None]


def blurred(image, sigma):
    """The weights exp(-d^2 / 2 sigma^2), |d| <= 3 sigma, as one convolution with a square kernel; border pixels repeat."""
    reach = int(np.ceil(3 * sigma))
    line = torch.exp(-torch.arange(-reach, reach + 1, dtype=torch.float64) ** 2 / (2 * sigma ** 2))
    kernel = torch.outer(line, line)
    x = torch.from_numpy(image.copy()).double().permute(2, 0, 1).unsqueeze(1)
    for _ in range(reach):  # torch repeats at most as many pixels as there are, so one at a time
        x = torch.nn.functional.pad(x, (1, 1, 1, 1), mode='replicate')
    y = torch.nn.functional.conv2d(x, (kernel / kernel.sum())[None, None]).squeeze(1).permute(1, 2, 0)
    return y.round().to(torch.uint8).numpy()


def messages(content, images):
    """content: texts, and None for the next image; images may be empty, which leaves them out."""
    left = list(images)
    parts = [dict(type='text', text=c) if c is not None else dict(type='image', image=Image.fromarray(left.pop(0)))
             for c in content if c is not None or images]
    return [dict(role='user', content=parts)]


def encode(content, images):
    text = processor.apply_chat_template(messages(content, images), tokenize=False, add_generation_prompt=True)
    return processor(text=[text], images=[Image.fromarray(image) for image in images] or None, return_tensors='pt')


def logps(encoded, completion):
    ids = torch.cat([encoded['input_ids'], torch.tensor([completion])], 1)
    images = {name: encoded[name] for name in ['pixel_values', 'image_grid_thw'] if name in encoded}
    if 'mm_token_type_ids' in encoded:
        images['mm_token_type_ids'] = (ids == model.config.image_token_id).to(ids.dtype)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **images).logits
    rows = logits[0, encoded['input_ids'].shape[1] - 1:-1].double() / TEMPERATURE
    return rows.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'png')
    return base64.b64encode(file.getvalue()).decode()


groups = []
for content, sizes in [([None, 'How many circles are there?'], [(3, 2)]),
                       (['First ', None, ' then ', None, '\nWhat has changed?'], [(2, 3), (4, 2)])]:
    images = [picture(*size) for size in sizes]
    masks = [(rng.random((image.shape[0] // PATCH, image.shape[1] // PATCH)) < RATIO).astype(np.uint8) for image in images]
    shown = {
        'original': encode(content, images),
        'blackout': encode(content, [blackened(image, mask) for image, mask in zip(images, masks)]),
        'blur': encode(content, [blurred(image, SIGMA) for image in images]),
        'removed': encode(content, []),
    }
    grid = shown['original']['image_grid_thw']
    assert [tuple(g) for g in grid.tolist()] == [(1, i.shape[0] // PATCH, i.shape[1] // PATCH) for i in images], 'resized'
    completions = [rng.integers(0, ORDINARY, n).tolist() + [END] for n in [9, 1, 14]]
    groups.append({
        'content': content, 'images': [png(image) for image in images], 'masks': [mask.flatten().tolist() for mask in masks],
        'prompt_ids': shown['original']['input_ids'][0].tolist(), 'prompt_ids_removed': shown['removed']['input_ids'][0].tolist(),
        'completions': completions,
        'logps': {name: [logps(encoded, c) for c in completions] for name, encoded in shown.items()}})
values = {'temperature': TEMPERATURE, 'ratio': RATIO, 'sigma': SIGMA, 'groups': groups}
with open(os.path.join(golden, 'changed_image.json'), 'w') as file:
    file.write(json.dumps(values) + '\n')
for name in ['blackout', 'blur', 'removed']:
    pairs = [(a, b) for g in groups for x, y in zip(g['logps']['original'], g['logps'][name]) for a, b in zip(x, y)]
    print(checkpoint, name, 'changes log-probabilities by up to', max(abs(a - b) for a, b in pairs))
