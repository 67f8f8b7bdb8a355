/**
 * The flags of `sightline devices`, which lists what models can run on.
 */
import type { CommandSpec } from './command.ts';
import { boolean } from './flag.ts';
import { commonFlags } from './shared_flags.ts';

export const devicesFlags = {
  json: boolean({
    group: 'Output',
    default: false,
    help: 'Print the list as JSON: {device, name, works, problem, fix, largest_tensor_bytes, float16, product_seconds, product_error}; null where something is unknown.',
  }),
  debug: commonFlags.debug,
} as const;

export const devicesCommand: CommandSpec<typeof devicesFlags> = {
  name: 'devices',
  summary: 'list the processors that models can run on, and whether they work',
  usage: 'sightline devices [flags]',
  flags: devicesFlags,
  examples: ['sightline devices'],
  notes: [
    'A graphics processor computes a product, which is compared with the result of the CPU. docs/gpu.md says what runs on it so far.',
  ],
};
