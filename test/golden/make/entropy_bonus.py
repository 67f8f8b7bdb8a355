"""The entropy bonus by torch.autograd: loss and gradients of a scoring head (RMS norm, projection, softmax at a temperature) under
the objective on-policy, with and without the bonus. Writes test/train/entropy_bonus.json.

    python test/golden/make/entropy_bonus.py

The mean entropy is taken over the tokens of all completions that count, as verl's agg_loss with token-mean.
"""
import json
from pathlib import Path

import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(15)
HIDDEN, VOCAB, TEMPERATURE, EPS = 6, 40, 0.7, 1e-6
LENGTHS = [5, 1, 8, 3, 7, 4]
COUNTED = [True, True, True, False, True, True]  # the fourth was cut off, and is filtered
ADVANTAGES = torch.randn(len(LENGTHS))
# What is stored in float32 is what both sides compute with.
H0, HEAD0, NORM0 = [t.float().double() for t in (torch.randn(sum(LENGTHS), HIDDEN), 1.5 * torch.randn(VOCAB, HIDDEN), 1 + 0.2 * torch.randn(HIDDEN))]
TARGETS = torch.randint(0, VOCAB, (sum(LENGTHS),))


def case(loss_type, coef):
    hidden, head, norm = [t.clone().requires_grad_(True) for t in (H0, HEAD0, NORM0)]
    normed = hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + EPS) * norm
    logps = (normed @ head.T / TEMPERATURE).log_softmax(-1)
    chosen = logps.gather(1, TARGETS[:, None])[:, 0].split(LENGTHS)
    entropies = (-(logps.exp() * logps).sum(-1)).split(LENGTHS)
    tokens = sum(n for n, counts in zip(LENGTHS, COUNTED) if counts)
    policy = [-(logp - logp.detach()).exp() * a for logp, a, counts in zip(chosen, ADVANTAGES, COUNTED) if counts]
    loss = torch.cat(policy).sum() / tokens if loss_type == 'dapo' else sum(p.mean() for p in policy) / len(LENGTHS)
    entropy = torch.cat([e for e, counts in zip(entropies, COUNTED) if counts]).mean()
    loss = loss - coef * entropy
    loss.backward()
    return {'loss_type': loss_type, 'coef': coef, 'loss': loss.item(), 'entropy': entropy.item(),
            'd_hidden': hidden.grad.flatten().tolist(), 'd_head': head.grad.flatten().tolist(), 'd_norm': norm.grad.tolist()}


values = {
    'hidden_size': HIDDEN, 'vocab_size': VOCAB, 'temperature': TEMPERATURE, 'eps': EPS, 'lengths': LENGTHS, 'counted': COUNTED,
    'advantages': ADVANTAGES.tolist(), 'hidden': H0.flatten().tolist(), 'head': HEAD0.flatten().tolist(), 'norm': NORM0.tolist(),
    'targets': TARGETS.tolist(), 'cases': [case(*each) for each in [('dapo', 0.0), ('dapo', 0.05), ('grpo', 0.3), ('dapo', 2.0)]]}
Path(__file__).parents[2].joinpath('train/entropy_bonus.json').write_text(json.dumps(values) + '\n')
