/**
 * Flags that rewards bring: read, checked and shown like the command's own. The rewards here stand for those of plugins.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pluginsNamed, readRlhfArguments } from '../../src/arguments/arguments.ts';
import { helpText } from '../../src/arguments/help.ts';
import { rlhfWithRewards } from '../../src/arguments/reward_flags.ts';
import type { RewardFlag } from '../../src/rewards/contract.ts';
import { orms } from '../../src/rewards/registry.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder();
const model = join(folder, 'model');
const data = join(folder, 'train.jsonl');
mkdirSync(model);
writeFileSync(data, '{}\n');
const words = [
  ...['--model', model, '--dataset', data, '--output_dir', join(folder, 'output')],
  ...['--reward_funcs', 'place', '--per_device_train_batch_size', '8'],
];

const before = { ...orms };
afterEach(() => {
  for (const name of Object.keys(orms)) if (!(name in before)) delete orms[name];
  Object.assign(orms, before);
});

function register(name: string, flags: Readonly<Record<string, RewardFlag>>): void {
  orms[name] = class {
    static readonly flags = flags;
    call = () => [];
  };
}

const placeFlags: Readonly<Record<string, RewardFlag>> = {
  place_bonus: { kind: 'number', default: 1, min: 0, unit: 'points', env: 'PLACE_BONUS', help: 'Value of a place.' },
  place_names: { kind: 'text', default: null, unset: 'all of them', help: 'Places that count, in one text.' },
  place_case: { kind: 'choice', choices: ['exact', 'any'], default: 'any', help: 'How a place is compared.' },
  place_strict: { kind: 'boolean', default: false, help: 'A second place makes it wrong.' },
};
beforeEach(() => register('place', placeFlags));

const complaint = (more: readonly string[]): string => {
  try {
    readRlhfArguments([...words, ...more], {});
  } catch (error) {
    return `${(error as Error).message} ${(error as { hint?: string }).hint}`;
  }
  return 'no error';
};

test('values by flag name: given, from the environment, defaults; apart from the arguments of the command', () => {
  const given = ['--place_bonus', '2.5', '--place_strict', '--place-names=the sea'];
  const { args, json, changed, notices } = readRlhfArguments([...words, ...given], {});
  const options = { place_bonus: 2.5, place_names: 'the sea', place_case: 'any', place_strict: true };
  expect(args.rewardOptions).toMatchObject({ ddapo_reward_center: false, ddapo_group_norm: false, ...options });
  expect(Object.keys(args).filter((key) => key.startsWith('place'))).toEqual([]);
  expect(json).toMatchObject({ ...options, ddapo_group_norm: false });
  expect(changed).toMatchObject({ place_bonus: 2.5, place_names: 'the sea', place_strict: true });
  expect(changed).not.toHaveProperty('place_case');
  expect(notices).toEqual([]);
  expect(readRlhfArguments(words, { PLACE_BONUS: '3' }).args.rewardOptions.place_bonus).toBe(3);
});

test('args.json gives the same values again', () => {
  const first = readRlhfArguments([...words, '--place_bonus', '2.5', '--place_names', 'the sea'], {});
  const config = join(folder, 'args.json');
  writeFileSync(config, JSON.stringify(first.json));
  expect(readRlhfArguments([config], {}).args).toEqual({ ...first.args, config: null });
});

test('faults are those of every flag', () => {
  expect(complaint(['--place_bonus', '-1'])).toMatch(/^expected a number of at least 0, got -1 /);
  expect(complaint(['--place_case', 'all'])).toMatch(/^expected one of exact, any, got "all" /);
  expect(complaint(['--place_bonuss', '2'])).toMatch(/^sightline rlhf has no such flag did you mean --place_bonus\?$/);
  delete orms.place;
  expect(complaint(['--place_bonus', '2'])).toMatch(/^sightline rlhf has no such flag /);
});

test('a flag of a reward that judges nothing here is told of; a default out of args.json is not', () => {
  expect(readRlhfArguments([...words, '--ddapo_group_norm', 'true'], {}).notices).toEqual([
    '--ddapo_group_norm has no effect: it belongs to ddapo_attention, which is not in --reward_funcs',
  ]);
  expect(readRlhfArguments([...words, '--ddapo_group_norm', 'false'], {}).notices).toEqual([]);
});

test('--help has them under a heading of their reward; without plugins it is what it was', () => {
  const help = helpText(rlhfWithRewards(), 100);
  expect(help).toContain(`
Reward place:
  --place_bonus NUMBER            Value of a place. (points; default: 1; environment: PLACE_BONUS)
  --place_names TEXT              Places that count, in one text. (default: all of them)
  --place_case exact|any          How a place is compared. (default: any)
  --place_strict [true|false]     A second place makes it wrong. (default: false)
`);
  expect(help.indexOf('\nRewards:')).toBeLessThan(help.indexOf('\nReward place:'));
  expect(help.indexOf('\nReward place:')).toBeLessThan(help.indexOf('\nAttention:'));
  delete orms.place;
  expect(helpText(rlhfWithRewards(), 100)).not.toContain('place_bonus');
});

const flag: RewardFlag = { kind: 'number', default: 1, help: 'A number.' };

test.each([
  ['a flag of the command', 'seed', 'there is a flag --seed of its own'],
  ['another name of one', 'response_length', 'there is a flag --response_length of its own'],
  ['one that the program reads as the same', 'place_bonus_1', 'there is the flag --place_bonus1 of "alike"'],
])('%s is no name for one', (_, name, message) => {
  register('alike', { place_bonus1: flag });
  register('mine', { [name]: flag });
  expect(complaint([])).toContain(`reward "mine" has a flag --${name}, but ${message}`);
});

test('a name that the arguments of a run have besides is one like any other', () => {
  register('mine', { model_dir: flag });
  const { args, json } = readRlhfArguments([...words, '--model_dir', '3'], {});
  expect([args.modelDir, args.rewardOptions.model_dir, json.model_dir]).toEqual([model, 3, 3]);
});

test.each<[string, RewardFlag, string]>([
  ['of another kind', { ...flag, default: 'one' as never }, 'expected a number, got "one"'],
  ['out of bounds', { ...flag, above: 1 }, 'expected a number above 1, got 1'],
  ['that is no choice', { kind: 'choice', choices: ['a', 'b'], default: 'c', help: 'A word.' }, 'expected one of a, b'],
])('a default %s is refused', (_, wrong, message) => {
  register('mine', { mine_flag: wrong });
  expect(complaint([])).toContain(`reward "mine": the default of --mine_flag: ${message}`);
});

test('plugins are named by the command line or a config file, beside flags that only they know', () => {
  const [one, two] = ['one.ts', 'two.ts'].map((name) => join(folder, name)) as [string, string];
  for (const path of [one, two]) writeFileSync(path, '');
  expect(pluginsNamed(['--their_flag', '1', '--external_plugins', one, two, '--seed', 'x'], {})).toEqual([one, two]);
  const config = join(folder, 'config.json');
  writeFileSync(config, JSON.stringify({ external_plugins: [two], their_flag: 1 }));
  expect(pluginsNamed([config], {})).toEqual([two]);
  expect(pluginsNamed([config, '--external_plugins', one], {})).toEqual([one]);
  expect(pluginsNamed(['--external_plugins', one, join(folder, 'none.ts')], {})).toEqual([]); // told with other faults
  expect(pluginsNamed(words, {})).toEqual([]);
});
