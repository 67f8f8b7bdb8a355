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
    help: 'Add the updates of the adapter to the weights. There is nothing else to export, so it has to be true.',
  }),
  torch_dtype: choice(['float32', 'float16', 'bfloat16'], {
    group: 'Output',
    default: null,
    unset: "each tensor's own",
    help: 'How the merged weights are stored. Updates are small: in 16 bits a part of them is rounded away.',
  }),
  output_dir: requiredText({
    group: 'Output',
    metavar: 'DIR',
    help: 'Folder to write the merged checkpoint to. It must not exist.',
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
  notes: ['transformers loads the result like the original model.'],
};
