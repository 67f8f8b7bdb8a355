/**
 * The flags of `sightline reward-server`: rewards for a trainer in another process.
 */
import type { CommandSpec } from './command.ts';
import { boolean, integer, number, requiredText, textList } from './flag.ts';
import { commonFlags } from './shared_flags.ts';

export const rewardServerFlags = {
  socket: requiredText({
    group: 'Rewards',
    metavar: 'FILE',
    help: 'Unix socket to make and to answer on; gone when the server ends.',
  }),
  external_plugins: textList({
    group: 'Rewards',
    default: [],
    metavar: 'FILE...',
    help: 'TypeScript or JavaScript files that register rewards, as for `sightline rlhf`.',
  }),
  deadline: number({
    group: 'Rewards',
    default: 300,
    above: 0,
    unit: 'seconds',
    help: 'A request that takes longer is answered with an error.',
  }),
  max_request_mib: integer({
    group: 'Rewards',
    default: 1024,
    min: 1,
    max: 4096,
    unit: 'MiB',
    help: 'Larger requests are refused; 64 completions of 1024 tokens make about 6 MiB.',
  }),
  exit_with_stdin: boolean({
    group: 'Rewards',
    default: false,
    help: 'End when standard input ends, so that the server never outlives the process that started it.',
  }),
  ...commonFlags,
} as const;

export const rewardServerCommand: CommandSpec<typeof rewardServerFlags> = {
  name: 'reward-server',
  summary: 'judge completions of a trainer in another process, such as ms-swift',
  usage: 'sightline reward-server --socket FILE [flags]',
  flags: rewardServerFlags,
  examples: ['sightline reward-server --socket rewards.sock --external_plugins my_reward.ts'],
  notes: [
    'integrations/ms_swift/plugin.py starts and ends it by itself; docs/ms_swift.md has the requests that it answers.',
  ],
};
