"""Values of the objective, computed by ms-swift 4.6.0 and TRL 0.29.1 themselves: their own functions run on random
log-probabilities, rewards and masks, without a model. Writes test/grpo/objective.json.

    python test/golden/make/objective.py

Everything is float64, so that the values can be compared to the last few bits. Versions: see test/golden/README.md.
"""
import json
from pathlib import Path
from types import SimpleNamespace

import torch
from swift.rl_core.advantage import compute_advantages
from swift.rlhf_trainers.grpo_trainer import GRPOTrainer as SwiftTrainer
from trl.trainer.grpo_trainer import GRPOTrainer as TrlTrainer

torch.set_default_dtype(torch.float64)
torch.manual_seed(20261127)

MAX_LENGTH = 9
EPSILON, EPSILON_HIGH = 0.2, 0.28
LENGTHS = [9, 4, 1, 7, 9, 5, 3, 6]
B, T = len(LENGTHS), max(LENGTHS)
MASK = torch.tensor([[t < n for t in range(T)] for n in LENGTHS])


class Accelerator:
    num_processes, process_index, device = 1, 0, torch.device('cpu')

    def gather(self, x):
        return x.reshape(1) if x.dim() == 0 else x

    gather_for_metrics = gather

    def pad_across_processes(self, x, **_):
        return x


def inputs():
    logps = -0.2 - 4 * torch.rand(B, T)
    shifts = torch.tensor([0.5, -0.6, 0.1, 0.5, -0.5, 0.1, -0.3, 0.2]).unsqueeze(1)
    old = logps - shifts + 0.2 * torch.randn(B, T)
    ref = logps + 0.4 * torch.randn(B, T)
    entropies = 2 * torch.rand(B, T)
    advantages = torch.tensor([1.1, -1.3, 0.6, -0.4, 0.9, -0.7, -0.2, 0.0])
    truncated = torch.tensor([n == MAX_LENGTH for n in LENGTHS])
    return logps, old, ref, entropies, advantages, truncated


LOGPS, OLD, REF, ENTROPIES, ADVANTAGES, TRUNCATED = inputs()
# Log-probabilities as an engine of its own might give them: some tokens far off, and whole sequences shifted.
SAMPLED = OLD + torch.randn(B, T, generator=torch.Generator().manual_seed(3)) * torch.tensor([.02, .6, 1.5, .3, .1, 1., .5, .2]).unsqueeze(1) \
    - torch.tensor([0., .3, -.2, .5, 0., -.6, .1, 0.]).unsqueeze(1)


def swift(case):
    """Loss, gradient and metrics of one batch by ms-swift's own loss."""
    logps = LOGPS.clone().requires_grad_(True)
    loss_type = case['loss_type']
    mask = MASK & ~TRUNCATED.unsqueeze(1) if case['overlong_filter'] else MASK
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), model_accepts_loss_kwargs=True, compute_loss_func=None,
        args=SimpleNamespace(log_entropy=False, top_entropy_quantile=case['top_entropy_quantile'], delta=case['delta']),
        compute_entropy=case['top_entropy_quantile'] < 1, top_entropy_quantile=case['top_entropy_quantile'],
        overlong_filter=case['overlong_filter'], beta=case['beta'], kl_in_reward=False,
        rollout_importance_sampling_mode=case.get('rollout_mode'), log_rollout_offpolicy_metrics=False,
        rollout_importance_sampling_threshold=case.get('rollout_threshold'),
        disable_rollout_importance_sampling=False, importance_sampling_level=case['importance_sampling_level'],
        _has_teacher=False, loss_type=loss_type, off_policy_sequence_mask_delta=case['off_policy_sequence_mask_delta'],
        epsilon_low=EPSILON, epsilon_high=case['epsilon_high'], tau_pos=case['tau_pos'], tau_neg=case['tau_neg'],
        max_completion_length=MAX_LENGTH, accelerator=Accelerator(), sdar_loss_coef=0, chord_sft_iterator=None,
        num_generations=4)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logps, ENTROPIES.clone())
    for name in ['_compute_off_policy_sequence_mask', '_undo_gradient_accumulation_scaling', '_compute_rollout_offpolicy_metrics',
                 '_get_rollout_is_correction', '_apply_rollout_importance_sampling', '_compute_sequence_level_ratios',
                 '_compute_is_correction_metrics']:
        setattr(trainer, name, getattr(SwiftTrainer, name).__get__(trainer))
    batch = SimpleNamespace(
        completion_mask=MASK, truncated_mask=TRUNCATED, ref_per_token_logps=REF,
        advantages=ADVANTAGES.unsqueeze(1).expand(B, T), old_per_token_logps=OLD,
        rollout_per_token_logps=SAMPLED if 'rollout_mode' in case else None,
        # sightline counts the tokens that take part, as TRL does; ms-swift would count all of them.
        num_items_in_batch=mask.sum())
    # The decorators measure time and memory of a real trainer.
    compute = SwiftTrainer._compute_loss_and_metrics
    compute = getattr(compute, '__wrapped__', compute)
    loss, metrics = compute(trainer, None, {}, batch)
    loss.backward()
    return {
        'loss': loss.item(), 'gradient': ragged(logps.grad), 'kl': metrics.get('kl'),
        'clipping': metrics.get('clipping'), 'entropy_threshold': metrics['entropy'].get('entropy_threshold'),
        'rollout_correction': {name: float(value) for name, value in (metrics.get('rollout_correction') or {}).items()} or None}


def trl(case):
    """Loss and gradient of the same batch by TRL's own loss."""
    from collections import defaultdict
    logps = LOGPS.clone().requires_grad_(True)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), top_entropy_quantile=case['top_entropy_quantile'], beta=case['beta'],
        args=SimpleNamespace(use_bias_correction_kl=False, delta=case['delta'], sapo_temperature_pos=case['tau_pos'],
                             sapo_temperature_neg=case['tau_neg']),
        off_policy_mask_threshold=case['off_policy_sequence_mask_delta'],
        importance_sampling_level=case['importance_sampling_level'], loss_type=case['loss_type'],
        epsilon_low=EPSILON, epsilon_high=case['epsilon_high'], use_vllm=False, current_gradient_accumulation_steps=1,
        max_completion_length=MAX_LENGTH, accelerator=Accelerator(),
        _metrics=defaultdict(lambda: defaultdict(list)), get_off_policy_mask=TrlTrainer.get_off_policy_mask)
    trainer.get_high_entropy_mask = TrlTrainer.get_high_entropy_mask.__get__(trainer)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logps, ENTROPIES.clone())
    mask = (MASK & ~TRUNCATED.unsqueeze(1) if case['overlong_filter'] else MASK).long()
    batch = {
        'prompt_ids': torch.zeros(B, 1, dtype=torch.long), 'prompt_mask': torch.ones(B, 1, dtype=torch.long),
        'completion_ids': torch.zeros(B, T, dtype=torch.long), 'completion_mask': mask, 'advantages': ADVANTAGES,
        'old_per_token_logps': OLD, 'ref_per_token_logps': REF, 'num_items_in_batch': mask.sum()}
    loss = TrlTrainer._compute_loss(trainer, None, batch)
    loss.backward()
    logged = {name: values[0] for name, values in trainer._metrics['train'].items()}
    names = {'clip_ratio/low_mean': 'low_clip_mean', 'clip_ratio/high_mean': 'high_clip_mean',
             'clip_ratio/region_mean': 'region_clip_mean', 'cispo_clip_ratio': 'cispo_clip_ratio'}
    return {'loss': loss.item(), 'gradient': ragged(logps.grad),
            'clipping': {names[name]: value for name, value in logged.items() if name in names}}


def ragged(x):
    return [row[:n].tolist() for row, n in zip(x, LENGTHS)]


def loss_cases():
    base = dict(epsilon_high=EPSILON_HIGH, delta=None, beta=0.04, tau_pos=1.0, tau_neg=1.05, top_entropy_quantile=1.0,
                overlong_filter=False, off_policy_sequence_mask_delta=None)
    for loss_type in ['grpo', 'bnpo', 'dr_grpo', 'dapo', 'cispo', 'sapo']:
        for level in ['token', 'sequence', 'sequence_token']:
            # cispo's epsilon_high is the cap itself; 1.5 caps some of these ratios.
            case = {**base, 'loss_type': loss_type, 'importance_sampling_level': level}
            if loss_type == 'cispo':
                case['epsilon_high'] = 1.5
            yield case
            yield {**case, 'beta': 0.0}
            yield {**case, 'delta': 1.4}
            yield {**case, 'tau_pos': 0.7, 'tau_neg': 1.9}
            yield {**case, 'top_entropy_quantile': 0.3}
            yield {**case, 'overlong_filter': True}
            yield {**case, 'off_policy_sequence_mask_delta': 0.1}
            yield {**case, 'overlong_filter': True, 'off_policy_sequence_mask_delta': 0.1, 'top_entropy_quantile': 0.45}


def rollout_cases():
    base = dict(epsilon_high=EPSILON_HIGH, delta=None, beta=0.04, tau_pos=1.0, tau_neg=1.05, top_entropy_quantile=1.0,
                overlong_filter=False, off_policy_sequence_mask_delta=None)
    for mode in ['token_truncate', 'token_mask', 'sequence_truncate', 'sequence_mask']:
        for loss_type, level in [('grpo', 'token'), ('dapo', 'sequence'), ('cispo', 'sequence_token'), ('bnpo', 'token')]:
            case = {**base, 'loss_type': loss_type, 'importance_sampling_level': level, 'rollout_mode': mode, 'rollout_threshold': 1.3}
            yield case
            yield {**case, 'rollout_threshold': 2.0, 'overlong_filter': True, 'top_entropy_quantile': 0.6}


def comparable_with_trl(case):
    """Where both follow the same rule: see docs/formulas.md for the rest."""
    return (case['importance_sampling_level'] != 'sequence_token' and case['off_policy_sequence_mask_delta'] is None
            and 'rollout_mode' not in case
            and not (case['overlong_filter'] and case['top_entropy_quantile'] < 1))


def losses():
    for case in [*loss_cases(), *rollout_cases()]:
        yield {**case, 'swift': swift(case), 'trl': trl(case) if comparable_with_trl(case) else None}


def advantages():
    rewards = torch.cat([torch.rand(8, 2), torch.tensor([[1.0, 0.5]]).repeat(4, 1)])
    rewards[5, 1] = 0.0
    weights = torch.tensor([1.0, 2.5])
    kls = torch.randn(12)
    cases = []
    for estimator in ['grpo', 'rloo', 'reinforce_plus_plus']:
        for scale in ['group', 'batch', 'none'] + (['gdpo'] if estimator == 'grpo' else []):
            for kl_in_reward in [False] if scale == 'gdpo' else [False, True]:
                made, totals = compute_advantages(rewards, weights, 4, estimator, scale, kl_in_reward, 0.3, kls)
                cases.append({'advantage_estimator': estimator, 'scale_rewards': scale, 'kl_in_reward': kl_in_reward,
                              'rewards': totals.tolist(), 'advantages': made.tolist()})
    return {'num_generations': 4, 'beta': 0.3, 'weights': weights.tolist(), 'kls': kls.tolist(),
            'rewards_per_func': rewards.T.tolist(), 'cases': cases}


def moved_reference():
    """A reference that TRL lets follow a policy, twice."""
    from trl.trainer.callbacks import SyncRefModelCallback
    policy, reference = torch.nn.Linear(5, 3).float(), torch.nn.Linear(5, 3).float()
    weight = lambda layer: layer.weight.detach().flatten().tolist()
    before, alpha = weight(reference), 0.6
    for _ in range(2):
        SyncRefModelCallback._sync_target_model(policy, reference, alpha)
    return {'alpha': alpha, 'policy': weight(policy), 'before': before, 'after': weight(reference)}


values = {
    'epsilon': EPSILON, 'max_completion_length': MAX_LENGTH, 'logps': ragged(LOGPS), 'old_logps': ragged(OLD),
    'ref_logps': ragged(REF), 'sampled_logps': ragged(SAMPLED), 'entropies': ragged(ENTROPIES), 'advantages_of_losses': ADVANTAGES.tolist(),
    'truncated': TRUNCATED.tolist(), 'losses': list(losses()), 'advantages': advantages(),
    'moved_reference': moved_reference()}
(Path(__file__).parents[2] / 'grpo' / 'objective.json').write_text(json.dumps(values) + '\n')
