/**
 * The flags of `sightline reward-server`, which computes rewards for a trainer in another process.
 */
import type { CommandSpec } from './command.ts';
import { boolean, integer, number, requiredText, textList } from './flag.ts';
import { commonFlags, rewardFailureFlags } from './shared_flags.ts';

export const rewardServerFlags = {
  socket: requiredText({
    group: 'Rewards',
    metavar: 'FILE',
    help: 'Unix socket to create and listen on. It is removed when the server ends.',
  }),
  external_plugins: textList({
    group: 'Rewards',
    default: [],
    metavar: 'FILE...',
    help: 'TypeScript or JavaScript files that register rewards, as in `sightline rlhf`.',
  }),
  ...rewardFailureFlags,
  deadline: number({
    group: 'Rewards',
    default: 300,
    above: 0,
    unit: 'seconds',
    help: 'Time limit for a request. A request that takes longer is answered with an error.',
  }),
  max_request_mib: integer({
    group: 'Rewards',
    default: 1024,
    min: 1,
    max: 4096,
    unit: 'MiB',
    help: 'Maximum size of a request. 64 completions of 1024 tokens take about 6 MiB.',
  }),
  exit_with_stdin: boolean({
    group: 'Rewards',
    default: false,
    help: 'Exit when standard input closes, so that the server never outlives the process that started it.',
  }),
  ...commonFlags,
} as const;

export const rewardServerCommand: CommandSpec<typeof rewardServerFlags> = {
  name: 'reward-server',
  summary: 'compute rewards for a trainer in another process, such as ms-swift',
  usage: 'sightline reward-server --socket FILE [flags]',
  flags: rewardServerFlags,
  examples: ['sightline reward-server --socket rewards.sock --external_plugins my_reward.ts'],
  notes: [
    'integrations/ms_swift/plugin.py starts and stops the server automatically. docs/ms_swift.md describes the requests.',
  ],
};
