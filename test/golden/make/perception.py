"""Values of PAPO's perception term and of VPPO's token selection and advantage scale, computed by their own code: the loops of
`update_policy` are cut out of the two repositories and run on random log-probabilities, without a model. Also a Gaussian blur by
torch. Writes test/grpo/perception.json.

    git clone https://github.com/MikeWangWZHL/PAPO PAPO && git -C PAPO checkout fb63bf4
    git clone https://github.com/huaixuheqing/VPPO-RL VPPO && git -C VPPO checkout a23c54b
    python test/golden/make/perception.py PAPO VPPO

Everything is float64, except the product of a count and a share, which torch computes in float32.
"""
import ast
import json
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Optional

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(20261127)
torch.Tensor.float = lambda self: self.double()  # compute_kl computes in float32, to which float64 cannot be compared

LENGTHS = [9, 4, 1, 7, 10, 5, 3, 6]
B, T = len(LENGTHS), max(LENGTHS)
MASK = torch.tensor([[float(t < n) for t in range(T)] for n in LENGTHS])
LOGPS = -0.2 - 4 * torch.rand(B, T)
CHANGED = LOGPS - 1.5 * torch.randn(B, T)
CHANGED[0, 1], CHANGED[3, 2] = LOGPS[0, 1] + 4, LOGPS[3, 2] - 25  # beyond the limits of the KL and of the log-ratio
OLD = LOGPS + 0.1 * torch.randn(B, T)
ADVANTAGES = torch.randn(B)


class VF:
    @staticmethod
    def masked_mean(values, mask, dim=None, eps=1e-8):
        return (values * mask).sum(dim) / (mask.sum(dim) + eps)


def functions(path, names):
    """Functions of a module, without importing what it imports."""
    tree = ast.parse(path.read_text())
    space = {'torch': torch, 'np': np, 'VF': VF, 'Literal': Literal, 'Optional': Optional, 'Any': Any}
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    exec(compile(ast.Module(body=wanted, type_ignores=[]), str(path), 'exec'), space)
    return space


def cut(path, first, last):
    """The lines from the first that holds `first` to the one before the next that holds `last`, as a block of its own."""
    lines = path.read_text().split('\n')
    start = next(i for i, line in enumerate(lines) if first in line)
    end = next(i for i in range(start + 1, len(lines)) if last in lines[i])
    return compile(textwrap.dedent('\n'.join(lines[start:end])), str(path), 'exec')


def papo(root, case):
    space = functions(root / 'verl/trainer/core_algos.py', ['average_loss', 'compute_kl'])
    logps = LOGPS.clone().requires_grad_(True)
    config = SimpleNamespace(
        use_kl_prcp=True, kl_prcp_penalty='low_var_kl', kl_prcp_coef=case['kl_coef'], loss_avg_mode=case['average'],
        use_kl_prcp_token_level_mask=case['kl_tokens'] < 1, kl_prcp_token_level_mask_top_p=case['kl_tokens'],
        use_kl_prcp_clipping=case['kl_max'] is not None, kl_prcp_clipping=case['kl_max'],
        use_aug_entropy_loss=True, aug_entropy_loss_coef=case['entropy_coef'],
        use_ori_entropy_loss=True, ori_entropy_loss_coef=case['entropy_coef'])
    space.update(
        self=SimpleNamespace(config=config), log_probs=logps, aug_log_probs=CHANGED, response_mask=MASK, metrics={},
        kl_prcp_weighting=np.ones(B), kl_prcp_coef=None, entropy_loss=-VF.masked_mean(logps, MASK),
        pg_loss=torch.zeros(()))
    exec(cut(root / 'verl/workers/actor/dp_actor.py', 'discount_ratio = 1.0', 'if self.config.use_sft_loss'), space)
    loss = space['pg_loss']
    loss.backward()
    return {**case, 'loss': loss.item(), 'gradient': ragged(logps.grad), 'kl': -space['metrics']['actor/kl_prcp_loss']}


def vppo(root, ratio, least):
    path = root / 'verl/workers/actor/dp_actor.py'
    config = SimpleNamespace(use_advantage_shaping=True, use_vppo_on_perception=True, use_vppo_on_entropy=False,
                             top_p_perception_tokens=ratio, advantage_scaling_min=least)
    space = {'torch': torch, 'self': SimpleNamespace(config=config), 'metrics': defaultdict(list), 'response_mask': MASK,
             'mini_batch': SimpleNamespace(batch={'old_log_probs': OLD, 'aug_log_probs': CHANGED, 'response_mask': MASK}),
             'model_inputs': {'aug_log_probs': CHANGED}, 'old_log_probs': OLD, 'log_probs': LOGPS, 'loss_token_mask': None,
             'advantages': ADVANTAGES.unsqueeze(1).expand(B, T)}
    # The code looks for low_var_kl among its locals and globals, which are one here.
    exec(cut(path, 'global_min_score, global_max_score = None, None', 'if self.config.dynamic_batching'), space)
    exec(cut(path, 'top_p = self.config.top_p_perception_tokens', '# Add logging.'), space)
    exec(cut(path, '# Apply Advantage Shaping if enabled.', 'pg_loss, pg_metrics = compute_policy_loss('), space)
    kls = space['low_var_kl']
    return {'ratio': ratio, 'least': least, 'kls': ragged(kls), 'weights': ragged(space['loss_token_mask']),
            'advantages': space['advantages'][:, 0].tolist(), 'scores': space['all_sensitivity_scores'].tolist()}


def blur(sigma):
    height, width = 11, 14
    pixels = torch.randint(0, 256, (height, width, 3))
    reach = int(np.ceil(3 * sigma))
    d = torch.arange(-reach, reach + 1, dtype=torch.float64)
    line = torch.exp(-d ** 2 / (2 * sigma ** 2))
    kernel = torch.outer(line, line)
    kernel = (kernel / kernel.sum())[None, None]
    x = pixels.permute(2, 0, 1).unsqueeze(1).double()
    padded = x
    for _ in range(reach):  # replication one pixel at a time: torch limits it to the size of the image otherwise
        padded = torch.nn.functional.pad(padded, (1, 1, 1, 1), mode='replicate')
    y = torch.nn.functional.conv2d(padded, kernel).squeeze(1).permute(1, 2, 0)
    return {'sigma': sigma, 'width': width, 'height': height, 'pixels': pixels.flatten().tolist(), 'blurred': y.flatten().tolist()}


def ragged(x):
    return [row[:n].tolist() for row, n in zip(x, LENGTHS)]


def main(papo_root, vppo_root):
    base = {'kl_coef': 0.02, 'kl_max': None, 'kl_tokens': 1, 'entropy_coef': 0.0, 'average': 'token'}
    cases = [base, {**base, 'average': 'seq'}, {**base, 'entropy_coef': 0.03}, {**base, 'kl_max': 0.2},
             {**base, 'kl_tokens': 0.3}, {**base, 'kl_tokens': 0.3, 'kl_max': 1.1, 'average': 'seq'},
             {**base, 'kl_coef': 0.01, 'kl_tokens': 0.6, 'kl_max': 0.7, 'entropy_coef': 0.03}]
    values = {
        'logps': ragged(LOGPS), 'changed': ragged(CHANGED), 'old': ragged(OLD), 'advantages': ADVANTAGES.tolist(),
        'papo': [papo(Path(papo_root), case) for case in cases],
        'vppo': [vppo(Path(vppo_root), *each) for each in [(0.4, 0.9), (0.2, 0.8), (0.7, 0.0)]],
        'blurs': [blur(sigma) for sigma in [0.6, 2, 6.5]]}
    (Path(__file__).parents[2] / 'grpo' / 'perception.json').write_text(json.dumps(values) + '\n')


main(*sys.argv[1:])
