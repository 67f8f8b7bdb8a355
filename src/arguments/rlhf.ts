/**
 * The flags of `sightline rlhf`, with the names and defaults of `swift rlhf --rlhf_type grpo`.
 */
import { ATTN_PROBES } from '../attention/cross_check.ts';
import { BUILT_IN_REWARDS } from '../rewards/built_in.ts';
import type { CommandSpec } from './command.ts';
import { engineFlag } from './engine_flags.ts';
import { boolean, choice, integer, number, numberList, textList } from './flag.ts';
import { objectiveFlags } from './objective_flags.ts';
import { perceptionFlags } from './perception_flags.ts';
import {
  commonFlags,
  evaluationFlags,
  lengthFlags,
  modelFlags,
  optimiserFlags,
  outputFlags,
  rewardFailureFlags,
  samplingFlags,
  trainDataFlags,
  tuningFlags,
} from './shared_flags.ts';

const OTHER_ALGORITHMS = 'only GRPO is supported; use --rlhf_type grpo';

export const rlhfFlags = {
  ...modelFlags,
  ...tuningFlags,
  ...trainDataFlags,
  rlhf_type: choice(['grpo'], {
    group: 'GRPO',
    default: 'grpo',
    absent: { dpo: OTHER_ALGORITHMS, kto: OTHER_ALGORITHMS, ppo: OTHER_ALGORITHMS, gkd: OTHER_ALGORITHMS },
    help: 'Training algorithm. The default of ms-swift is dpo.',
  }),
  num_generations: integer({
    group: 'GRPO',
    default: 8,
    min: 2,
    unit: 'completions',
    help: 'Completions per prompt (G in the GRPO paper). Advantages are computed within such a group.',
  }),
  per_device_train_batch_size: integer({
    group: 'GRPO',
    default: 1,
    min: 1,
    unit: 'completions',
    help: 'Completions per backward pass.',
  }),
  gradient_accumulation_steps: integer({
    group: 'GRPO',
    default: 1,
    min: 1,
    unit: 'backward passes',
    help: 'Backward passes per optimiser step.',
  }),
  generation_batch_size: integer({
    group: 'GRPO',
    default: null,
    unset: '--per_device_train_batch_size x --steps_per_generation',
    min: 1,
    unit: 'completions',
    help: 'Completions per sampling phase; must be a multiple of --num_generations.',
  }),
  steps_per_generation: integer({
    group: 'GRPO',
    default: null,
    unset: '--gradient_accumulation_steps',
    min: 1,
    unit: 'backward passes',
    help: 'Backward passes per sampling phase. More than --gradient_accumulation_steps makes later steps off-policy.',
  }),
  num_iterations: integer({
    group: 'GRPO',
    default: 1,
    min: 1,
    unit: 'passes',
    help: 'Times that each sampled batch is used (mu in the GRPO paper).',
  }),
  ...objectiveFlags,
  ...perceptionFlags,
  ref_adapters: textList({
    group: 'LoRA',
    default: [],
    metavar: 'DIR',
    help: 'Adapter of the reference model, e.g. the one given as --adapters. Without it, the reference is --model itself. It shares the weights of the policy in both cases.',
  }),
  max_completion_length: integer({
    group: 'Sampling',
    default: 512,
    min: 1,
    unit: 'tokens',
    aliases: ['max_new_tokens', 'response_length'],
    help: 'Maximum length of a completion.',
  }),
  temperature: number({ group: 'Sampling', default: 0.9, above: 0, help: 'Sampling temperature.' }),
  ...samplingFlags,
  reward_funcs: textList({
    group: 'Rewards',
    default: undefined,
    metavar: 'NAME...',
    help: `Names of rewards, built-in (${BUILT_IN_REWARDS.join(', ')}) or from --external_plugins.`,
  }),
  reward_weights: numberList({
    group: 'Rewards',
    default: null,
    unset: '1 each',
    metavar: 'NUMBER...',
    help: 'One weight per reward, in the order of --reward_funcs.',
  }),
  external_plugins: textList({
    group: 'Rewards',
    default: [],
    metavar: 'FILE...',
    help: 'TypeScript or JavaScript files that register rewards. They are run as code; args.json records their SHA-256. Their rewards can add flags, which --help shows when it is given together with this flag.',
  }),
  ...rewardFailureFlags,
  attn_probe: choice(ATTN_PROBES, {
    msSwift: { env: 'SIGHTLINE_ATTN_PROBE' },
    group: 'Attention',
    default: 'auto',
    help: 'How attention is measured for rewards: eager runs a separate eager forward; fused sums attention in the forward that the loss needs anyway; auto compares both in the first call and then uses the cheaper one.',
  }),
  log_attention: boolean({
    msSwift: { ignored: 'ms-swift logs attention only beside the attention reward' },
    group: 'Attention',
    default: true,
    help: 'Log how much attention the completions give to the image, the text, the system block and themselves, and the text-dominance ratio (attention/...), also without an attention reward. Sampling or the training forward measures it; not with --attn_probe eager.',
  }),
  attn_log_limit: number({
    msSwift: { ignored: 'ms-swift does not log attention by token' },
    group: 'Attention',
    default: 64,
    min: 0,
    unit: 'MiB',
    help: 'Room for the folder attention: with --log_completions true, what the tokens of logged completions attend to in the images, for sightline ui and sightline report. When it is full, every second step of it is removed. 0 logs none.',
  }),
  attn_log_steps: integer({
    msSwift: { ignored: 'ms-swift does not log attention by token' },
    group: 'Attention',
    default: 10,
    min: 1,
    unit: 'optimiser steps',
    help: 'Log the attention of tokens with the first and the last log, and with one every so many steps: of the completions of the first prompt with an image, and of the best and the worst one, by a forward of their own. Also logs attention/image_entropy.',
  }),
  attn_log_layers: numberList({
    msSwift: { ignored: 'ms-swift does not log attention by token' },
    group: 'Attention',
    default: null,
    unset: 'the last 8',
    min: 0,
    integer: true,
    help: 'Layers whose attention is logged by token, counted from 0.',
  }),
  dry_run: boolean({
    msSwift: { readHere: true },
    group: 'Other',
    default: false,
    help: 'Run a few steps, the largest first, and an evaluation batch, report the time per step and for the whole run, peak memory and rewards, and stop. Writes nothing. With --engine ms-swift: print the command and its environment, and run nothing.',
  }),
  reuse_rollout: boolean({
    msSwift: { ignored: 'ms-swift always runs a forward of its own for the loss' },
    group: 'GRPO',
    default: true,
    help: 'Reuse the forward computed during sampling if a step is on-policy and has one micro-batch. false always runs a separate training forward; results are equal up to rounding.',
  }),
  ...optimiserFlags,
  ...lengthFlags,
  ...evaluationFlags,
  per_device_eval_batch_size: integer({
    group: 'Evaluation',
    default: null,
    unset: '--per_device_train_batch_size',
    min: 1,
    unit: 'completions',
    help: 'Completions scored at once in evaluation.',
  }),
  num_generations_eval: integer({
    group: 'Evaluation',
    default: null,
    unset: '--num_generations',
    min: 1,
    unit: 'completions',
    help: 'Completions per prompt in evaluation.',
  }),
  eval_temperature: number({
    msSwift: { ignored: 'ms-swift samples evaluations at --temperature' },
    group: 'Evaluation',
    default: null,
    unset: '--temperature',
    min: 0,
    help: 'Sampling temperature in evaluation; 0 always takes the most likely token.',
  }),
  ...outputFlags,
  log_completions: boolean({
    group: 'Output',
    default: false,
    help: 'Write all completions to completions.jsonl, and print some with their rewards at every log record. TensorBoard also gets some, with their images.',
  }),
  num_completions_to_print: integer({
    msSwift: { ignored: 'completions are not printed; --log_completions true writes them into completions.jsonl' },
    group: 'Output',
    default: null,
    unset: '--num_generations',
    min: 0,
    unit: 'completions',
    help: 'Completions printed at every log record. On a terminal, which shows a progress bar, at most two: the best and the worst one.',
  }),
  ...engineFlag,
  ...commonFlags,
} as const;

/** The command without the flags of rewards, which reward_flags.ts adds. */
export const rlhfCommand: CommandSpec<typeof rlhfFlags> = {
  name: 'rlhf',
  summary: 'train a vision-language model with GRPO, attention rewards included',
  usage: 'sightline rlhf [CONFIG.json] --model DIR --dataset FILE... --reward_funcs NAME... [flags]',
  flags: rlhfFlags,
  examples: [
    'sightline rlhf --rlhf_type grpo --model ./checkpoint --dataset train.jsonl --reward_funcs accuracy format --per_device_train_batch_size 8',
    'sightline rlhf --engine ms-swift --nproc_per_node 8 --deepspeed zero2 --model ./checkpoint --dataset train.jsonl --reward_funcs ddapo_attention accuracy --per_device_train_batch_size 8',
    'sightline rlhf output/v0-20260101-120000/args.json --learning_rate 2e-6',
  ],
  notes: [
    'A sampling phase makes per_device_train_batch_size x steps_per_generation completions. This product must be a multiple of num_generations.',
  ],
};
