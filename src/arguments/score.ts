/**
 * The flags of `sightline score`, which computes per-token log-probabilities and attention ratios of given completions.
 */
import { ATTN_PROBES } from '../attention/cross_check.ts';
import type { CommandSpec } from './command.ts';
import { choice, integer, number, requiredText, textList } from './flag.ts';
import {
  adaptedModelFlags,
  columnFlags,
  commonFlags,
  groundingFlags,
  systemFlags,
  weightFormFlags,
  weightsMemoryHelp,
} from './shared_flags.ts';

export const scoreFlags = {
  ...adaptedModelFlags,
  ...weightFormFlags,
  weights_memory: number({
    ...weightFormFlags.weights_memory,
    default: null,
    unset: 'weights of 4 GiB or more stay on disk',
    help: weightsMemoryHelp('weights', ''),
  }),
  dataset: textList({
    group: 'Data',
    default: undefined,
    metavar: 'PATH...',
    help: 'Datasets in the formats that rlhf reads. Each row ends with an assistant message or has a `completion_ids` column.',
  }),
  ...columnFlags,
  ...systemFlags,
  ...groundingFlags,
  per_device_eval_batch_size: integer({
    group: 'Data',
    default: 1,
    min: 1,
    unit: 'rows',
    aliases: ['batch_size'],
    help: 'Rows scored at once.',
  }),
  temperature: number({
    group: 'Sampling',
    default: 1,
    above: 0,
    help: 'Logits are divided by this before log-probabilities and entropies are computed.',
  }),
  attn_probe: choice(ATTN_PROBES, {
    group: 'Attention',
    default: 'auto',
    help: 'How attention is measured: eager runs a separate eager forward; fused sums attention in the scoring forward; auto compares both for the first row and then uses the cheaper one.',
  }),
  output: requiredText({
    group: 'Output',
    metavar: 'FILE',
    help: 'JSONL file to write. Each row gives one line with prompt_ids, completion_ids, logps, entropies, tdr, rho_vis, rho_text, n_vis, n_text.',
  }),
  ...commonFlags,
} as const;

export const scoreCommand: CommandSpec<typeof scoreFlags> = {
  name: 'score',
  summary: 'log-probabilities, entropies and attention ratios of given completions',
  usage: 'sightline score --model DIR --dataset IN.jsonl --output OUT.jsonl [flags]',
  flags: scoreFlags,
  examples: ['sightline score --model ./checkpoint --dataset answers.jsonl --output scores.jsonl'],
  notes: [],
};
