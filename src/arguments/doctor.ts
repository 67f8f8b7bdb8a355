/**
 * The flags of `sightline doctor`, which says why a reward is 0, null or constant, and why nothing is learned.
 */
import type { CommandSpec } from './command.ts';
import { boolean, text, textList } from './flag.ts';
import { columnFlags, commonFlags } from './shared_flags.ts';

export const doctorFlags = {
  folders: textList({
    group: 'Data',
    default: [],
    metavar: 'DIR...',
    help: 'Folders of runs of sightline or ms-swift, finished or live. They may also be given as the first words, without --folders.',
  }),
  model: text({
    group: 'Model',
    default: null,
    unset: 'prompts are not looked at',
    metavar: 'DIR|NAME',
    help: 'Checkpoint of an intended run. Its weights are not read.',
  }),
  dataset: textList({
    group: 'Data',
    default: [],
    metavar: 'PATH...',
    help: 'Datasets of an intended run: their columns and images are checked against the rewards.',
  }),
  ...columnFlags,
  external_plugins: textList({
    group: 'Rewards',
    default: [],
    metavar: 'FILE...',
    help: 'TypeScript or JavaScript files that register rewards. They are run as code.',
  }),
  reward_funcs: textList({
    group: 'Rewards',
    default: [],
    metavar: 'NAME...',
    help: 'Rewards of an intended run.',
  }),
  json: boolean({
    group: 'Output',
    default: false,
    help: 'Print the verdicts as JSON: a list of {code, severity, seen, why, fix}, with the folder of a run.',
  }),
  debug: commonFlags.debug,
} as const;

export const doctorCommand: CommandSpec<typeof doctorFlags> = {
  name: 'doctor',
  summary: 'why a reward is 0, null or constant, and why nothing is learned',
  usage: 'sightline doctor RUN... | --dataset FILE --reward_funcs NAME... [--model DIR] [flags]',
  flags: doctorFlags,
  examples: [
    'sightline doctor output/v0-20261127-101500',
    'sightline doctor --model ./checkpoint --dataset train.jsonl --reward_funcs ddapo_attention accuracy',
  ],
  notes: ['Exits with 1 if a verdict is severe. docs/doctor.md lists the verdicts.'],
};
