"""Writes random attention weights and what the formulas of the attention rewards make of them: values.json beside this file, read by
test/rewards/attention.test.ts.

    pip install torch numpy
    python test/rewards/attention/make.py

The vision-text gain ratio, its reward and its token weights follow JuncyLu/trl_DAPO (src/rewards/attention_rewards.py,
src/utils/attention_metrics.py and attention_token_weights.py) from full weights: the first column zeroed, rows normalised over the
prompt, masks of words and of visual tokens. Regions, entropies and changes are computed from their definitions.
"""
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

rng = np.random.default_rng(20261127)
LAYERS, HEADS = 3, 4
SYSTEM, GRID, QUESTION, CONTROL = 3, (3, 4), 5, 2
VISUAL = GRID[0] * GRID[1]
# system block | control | image | question | control
PROMPT = SYSTEM + 1 + VISUAL + QUESTION + 1
KINDS = ['system'] * SYSTEM + ['control'] + ['visual'] * VISUAL + ['question'] * QUESTION + ['control']
BOXES = [(0.1, 0.2, 0.55, 0.7), (0.4, 0.5, 1.2, 0.9)]  # x1, y1, x2, y2 as fractions; they overlap, and one leaves the image


def coverage():
    """By sampling each token's patch on a grid fine enough to be exact for these boxes."""
    n = 40
    rows, columns = GRID
    shares = np.zeros(VISUAL)
    for r in range(rows):
        for c in range(columns):
            x = (c + (np.arange(n * 4) + 0.5) / (n * 4)) / columns
            y = (r + (np.arange(n * 3) + 0.5) / (n * 3)) / rows
            inside = np.zeros((len(y), len(x)), dtype=bool)
            for x1, y1, x2, y2 in BOXES:
                inside |= ((x >= x1) & (x < x2))[None, :] & ((y >= y1) & (y < y2))[:, None]
            shares[r * columns + c] = inside.mean()
    return shares


def weights(tokens):
    """Causal softmax of random scores: [layers, heads, tokens, prompt + tokens]."""
    scores = torch.tensor(rng.normal(0, 1.5, (LAYERS, HEADS, tokens, PROMPT + tokens)))
    seen = torch.arange(PROMPT + tokens)[None, :] <= PROMPT + torch.arange(tokens)[:, None]
    return torch.softmax(scores.masked_fill(~seen, -torch.inf), -1).float().double()


def shares(full):
    """Of each token, mean over layers of its share on words and on visual tokens."""
    rows = full.mean(1).clone()  # heads
    rows[..., 0] = 0
    rows = rows[..., :PROMPT]
    rows = rows / rows.sum(-1, keepdim=True)
    kinds = np.array(KINDS)
    return rows[..., kinds == 'question'].sum(-1).mean(0), rows[..., kinds == 'visual'].sum(-1).mean(0)


def token_weights(text, image, sigma):
    vgr = (text / QUESTION) / (image / VISUAL + 1e-6)
    values = 1 / (vgr + 1e-6)
    if sigma > 0 and values.numel() > 2:
        half = max(1, int(3 * sigma))
        xs = torch.arange(-half, half + 1, dtype=values.dtype)
        kernel = torch.exp(-0.5 * (xs / (sigma + 1e-6)) ** 2)
        kernel = kernel / kernel.sum()
        padded = F.pad(values[None, None], (half, half), mode='replicate')
        values = F.conv1d(padded, kernel[None, None])[0, 0]
    return torch.clamp(values / values.mean(), 0.2, 3.0)


cover = torch.tensor(coverage())
completions = []
for tokens in (1, 2, 5, 9):
    full = weights(tokens)
    text, image = shares(full)
    mean = full.mean(1)  # [layers, tokens, columns]
    visual = mean[..., SYSTEM + 1:SYSTEM + 1 + VISUAL]
    over_layers = visual.mean(0)  # [tokens, visual]
    p = over_layers / over_layers.sum(-1, keepdim=True)
    mass = visual.sum(-1).mean(0)  # [tokens]
    half = tokens // 2
    early, late = (mass[:half].mean(), mass[tokens - half:].mean()) if half else (None, None)
    completions.append({
        'tokens': tokens,
        'maps': full.mean(1).float().reshape(LAYERS, -1).tolist(),
        'vgr': float((text.mean() / QUESTION) / (image.mean() / VISUAL)),
        'token_weights': {str(sigma): token_weights(text, image, sigma).tolist() for sigma in (0, 0.4, 2)},
        'region_share': float(((visual * cover).sum(-1) / visual.sum(-1)).mean()),
        'entropy': float(-(p * p.log()).sum(-1).mean() / np.log(VISUAL)),
        'change': None if early is None else float((late - early) / (late + early)),
        'masses': {'first': mean[..., 0].mean(0).tolist(), 'completion': mean[..., PROMPT:].sum(-1).mean(0).tolist(),
                   'system': mean[..., :SYSTEM].sum(-1).mean(0).tolist(), 'image': mass.tolist()},
    })


def robust(ratios, sigma):
    ratios = np.array(ratios)
    middle = np.median(ratios)
    deviation = np.median(np.abs(ratios - middle))
    return (0.5 * np.tanh((middle - ratios) / (1.4826 * deviation + 1e-8) / sigma)).tolist()


ratios = [each['vgr'] for each in completions]
values = {
    'layers': LAYERS, 'prompt': PROMPT, 'kinds': KINDS, 'grid': GRID, 'boxes': BOXES, 'coverage': cover.tolist(),
    'completions': completions, 'rewards': {str(sigma): robust(ratios, sigma) for sigma in (1, 0.5)},
}
Path(__file__).with_name('values.json').write_text(json.dumps(values) + '\n')
