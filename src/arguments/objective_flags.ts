/**
 * The flags of the objective: the loss, its masks, the KL to the reference, and advantages. Names and defaults are ms-swift's.
 */
import { boolean, choice, integer, number } from './flag.ts';

export const objectiveFlags = {
  loss_type: choice(['grpo', 'bnpo', 'dr_grpo', 'dapo', 'cispo', 'sapo'], {
    msSwift: { more: ['real', 'fipo'] },
    group: 'GRPO',
    default: 'grpo',
    follows:
      'dapo and cispo divide by the tokens of the optimizer step (peers: of the rollout); bnpo by those of the micro-batch, as both',
    help: 'Loss of a token, and how losses are averaged. Clipped ratio: grpo per sequence, bnpo over the tokens of the batch, dr_grpo by --max_completion_length, dapo over all tokens of the optimiser step. cispo: capped ratio as a constant weight, averaged as dapo. sapo: smooth gate instead of clipping, averaged as grpo.',
  }),
  importance_sampling_level: choice(['token', 'sequence', 'sequence_token'], {
    group: 'GRPO',
    default: 'token',
    help: "Importance ratio per token, or one per sequence (GSPO). sequence_token has the sequence's ratio and each token's own gradient.",
  }),
  epsilon: number({
    group: 'GRPO',
    default: 0.2,
    min: 0,
    help: 'Lower clipping bound of the importance ratio: 1 - epsilon.',
  }),
  epsilon_high: number({
    group: 'GRPO',
    default: null,
    unset: '--epsilon',
    min: 0,
    help: 'Upper clipping bound of the importance ratio: 1 + epsilon_high. With --loss_type cispo it is the cap of the ratio itself, usually 5.',
  }),
  delta: number({
    group: 'GRPO',
    default: null,
    unset: 'none',
    above: 0,
    help: 'Two-sided clipping: an upper bound on the importance ratio for either sign of the advantage.',
  }),
  tau_pos: number({
    group: 'GRPO',
    default: 1,
    above: 0,
    help: 'Temperature of the gate of --loss_type sapo for positive advantages.',
  }),
  tau_neg: number({
    group: 'GRPO',
    default: 1.05,
    above: 0,
    help: 'Temperature of the gate of --loss_type sapo for other advantages.',
  }),
  top_entropy_quantile: number({
    group: 'GRPO',
    default: 1,
    above: 0,
    max: 1,
    unit: 'fraction of tokens',
    follows:
      'the quantile is over the optimizer step, so that micro-batches do not change it (peers: over a micro-batch); cut-off completions are among its tokens, as in ms-swift',
    help: 'Learn only from this share of the tokens of an optimiser step, those with the highest entropy. The KL divergence still counts all of them.',
  }),
  entropy_coef: number({
    msSwift: { refused: 'ms-swift has no entropy bonus; use --engine sightline' },
    group: 'GRPO',
    default: 0,
    min: 0,
    follows: "TRL's name; the mean is over the tokens of the optimizer step, as verl's token-mean within a micro-batch",
    help: 'Weight of the entropy bonus: the mean entropy of the policy over all completion tokens of an optimiser step, which the loss is reduced by. Keeps the policy from becoming certain too early; 0.001 is a usual value.',
  }),
  overlong_filter: boolean({
    group: 'GRPO',
    default: false,
    follows:
      'cut off means ended by the length limit, as in ms-swift; the tokens are not counted in the denominator of dapo and cispo, as in TRL',
    help: 'Leave completions that were cut off at --max_completion_length out of the loss. They still count for the advantages of their group.',
  }),
  off_policy_sequence_mask_delta: number({
    group: 'GRPO',
    default: null,
    unset: 'none',
    min: 0,
    unit: 'nats per token',
    follows: 'ms-swift: the KL is left out, too, and the denominator of bnpo shrinks (TRL: neither)',
    help: 'Leave completions with a negative advantage out of the loss if the policy has moved away from them: if their mean log-probability has fallen by more than this since they were sampled.',
  }),
  rollout_importance_sampling_mode: choice(['token_truncate', 'token_mask', 'sequence_truncate', 'sequence_mask'], {
    group: 'GRPO',
    default: null,
    unset: 'none',
    follows:
      'ms-swift: a factor of the policy term and of the KL, a geometric mean per sequence (TRL: of the policy term only, a product)',
    help: 'Weigh tokens by how much likelier a forward makes them than sampling did, which matters where sampling rounds (--quant_bits). token_truncate: ratio up to the threshold; token_mask: 0 above it; sequence_truncate: the same with the mean ratio of the completion; sequence_mask: ratios of tokens, 0 where that mean is above it.',
  }),
  rollout_importance_sampling_threshold: number({
    group: 'GRPO',
    default: 2,
    above: 0,
    help: 'Threshold of --rollout_importance_sampling_mode.',
  }),
  beta: number({
    group: 'GRPO',
    default: null,
    unset: '0.04',
    min: 0,
    follows: 'ms-swift: default 0.04, and a clamped k3 (TRL: 0, not clamped)',
    help: 'Weight of the KL divergence from the reference model. With 0 no reference model is loaded.',
  }),
  sync_ref_model: boolean({
    group: 'GRPO',
    default: false,
    help: 'Let the reference model follow the policy. With an adapter, the reference is --model itself, and cannot move.',
  }),
  ref_model_sync_steps: integer({
    group: 'GRPO',
    default: 512,
    min: 1,
    unit: 'optimiser steps',
    help: 'Steps between two moves of the reference model of --sync_ref_model.',
  }),
  ref_model_mixup_alpha: number({
    group: 'GRPO',
    default: 0.6,
    above: 0,
    max: 1,
    help: 'How far the reference model moves: it becomes (1 - alpha) of itself plus alpha of the policy.',
  }),
  kl_in_reward: boolean({
    group: 'GRPO',
    default: null,
    unset: 'false with --advantage_estimator grpo, else true',
    help: 'Subtract the KL divergence (k1 estimator, summed over the completion) from the reward, instead of adding it (k3 estimator, per token) to the loss.',
  }),
  advantage_estimator: choice(['grpo', 'rloo', 'reinforce_plus_plus'], {
    group: 'GRPO',
    default: 'grpo',
    help: 'What a completion is compared with: the mean of its group (grpo, reinforce_plus_plus), or the mean of the others in it (rloo). They also differ in the defaults of --scale_rewards and --kl_in_reward.',
  }),
  scale_rewards: choice(['group', 'batch', 'none', 'gdpo'], {
    group: 'GRPO',
    default: null,
    unset: 'group; none with --advantage_estimator rloo, batch with reinforce_plus_plus',
    follows:
      'ms-swift: gdpo adds 1e-8 to deviations (TRL 1e-4), frac_reward_zero_std is by groups; a reward that is null is left out of the baseline, as in TRL',
    help: 'Standard deviation that advantages are divided by: that of the group, that of the batch, or none. gdpo scales every reward function by itself within the group, and then their weighted sum within the batch.',
  }),
  dynamic_sample: boolean({
    group: 'GRPO',
    default: false,
    follows:
      'ms-swift, but further prompts are the next of the order of the run (there: of an iterator of their own), and the last batch drawn is used, too',
    help: 'Replace groups whose rewards are all equal, which teach nothing, by groups of further prompts.',
  }),
  max_resample_times: integer({
    group: 'GRPO',
    default: 3,
    min: 1,
    unit: 'batches',
    help: 'Further batches of prompts that --dynamic_sample samples at most for a rollout. If they do not suffice, the first batch is used as it is, with a warning.',
  }),
} as const;
