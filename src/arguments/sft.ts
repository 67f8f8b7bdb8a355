/**
 * The flags of `sightline sft`: supervised training by cross-entropy on the answers, with ms-swift's names.
 */
import type { CommandSpec } from './command.ts';
import { integer } from './flag.ts';
import {
  commonFlags,
  evaluationFlags,
  lengthFlags,
  modelFlags,
  optimiserFlags,
  outputFlags,
  trainDataFlags,
  tuningFlags,
} from './shared_flags.ts';

export const sftFlags = {
  ...modelFlags,
  ...tuningFlags,
  ...trainDataFlags,
  per_device_train_batch_size: integer({
    group: 'Optimiser',
    default: 1,
    min: 1,
    unit: 'rows',
    help: 'Rows per backward pass.',
  }),
  gradient_accumulation_steps: integer({
    group: 'Optimiser',
    default: null,
    unset: '16 / --per_device_train_batch_size, rounded up',
    min: 1,
    unit: 'backward passes',
    help: 'Backward passes per optimiser step.',
  }),
  ...optimiserFlags,
  ...lengthFlags,
  ...evaluationFlags,
  per_device_eval_batch_size: integer({
    group: 'Evaluation',
    default: null,
    unset: '--per_device_train_batch_size',
    min: 1,
    unit: 'rows',
    help: 'Rows scored at once in evaluation.',
  }),
  ...outputFlags,
  ...commonFlags,
} as const;

export const sftCommand: CommandSpec<typeof sftFlags> = {
  name: 'sft',
  summary: 'train on given answers (cross-entropy)',
  usage: 'sightline sft [CONFIG.json] --model DIR --dataset FILE... [flags]',
  flags: sftFlags,
  examples: ['sightline sft --model ./checkpoint --dataset train.jsonl --learning_rate 1e-5 --freeze_vit false'],
  notes: ['Only the tokens of the last assistant message count in the loss.'],
};
