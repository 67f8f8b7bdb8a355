/**
 * The flags of `sightline export`, which merges an adapter into its model; names and defaults are those of `swift export`.
 */
import type { CommandSpec } from './command.ts';
import { boolean, choice, requiredText } from './flag.ts';
import { adaptedModelFlags, commonFlags } from './shared_flags.ts';

const { model, model_revision, adapters } = adaptedModelFlags;

export const exportFlags = {
  model,
  model_revision,
  adapters,
  merge_lora: boolean({
    group: 'LoRA',
    default: false,
    help: 'Merge the adapter into the weights. Must be true, because nothing else can be exported.',
  }),
  torch_dtype: choice(['float32', 'float16', 'bfloat16'], {
    group: 'Output',
    default: null,
    unset: "each tensor's own",
    help: 'Data type of the saved weights. 16 bits round away a part of the small updates.',
  }),
  output_dir: requiredText({
    group: 'Output',
    metavar: 'DIR',
    help: 'Folder of the merged checkpoint; it must not exist.',
  }),
  exist_ok: boolean({ group: 'Output', default: false, help: 'Replace the folder if it exists.' }),
  ...commonFlags,
} as const;

export const exportCommand: CommandSpec<typeof exportFlags> = {
  name: 'export',
  summary: 'merge a LoRA adapter into its model',
  usage: 'sightline export --adapters DIR --merge_lora true --output_dir OUT [--model DIR] [flags]',
  flags: exportFlags,
  examples: [
    'sightline export --adapters output/v0-20260101-120000/checkpoint-500 --merge_lora true --output_dir merged',
  ],
  notes: ['transformers loads the result as it loads the original model.'],
};
