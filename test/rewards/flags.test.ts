import { afterEach, expect, test } from 'vitest';
import { DDAPOAttentionORM } from '../../src/rewards/ddapo_attention/index.ts';
import { statedFlags } from '../../src/rewards/flags.ts';
import { ormFiles, orms } from '../../src/rewards/registry.ts';
import rlhfArguments from '../arguments/ms_swift/rlhf_arguments.json' with { type: 'json' };

const before = Object.keys(orms);
afterEach(() => {
  for (const name of Object.keys(orms)) if (!before.includes(name)) delete orms[name];
  ormFiles.delete('mine');
});

/** Registers a reward that states these flags, as if a file had. */
function register(name: string, flags: unknown): void {
  orms[name] = Object.assign(class {}, { flags }) as never;
  ormFiles.set(name, 'mine.ts');
}

test('those of the attention reward are its switches, with the variables of the original', () => {
  const stated = statedFlags().filter(({ rewards }) => rewards.includes('ddapo_attention'));
  expect(stated.map(({ name, flag, rewards }) => [name, flag.kind, flag.default, flag.env, rewards])).toEqual([
    ['ddapo_reward_center', 'boolean', false, 'DDAPO_REWARD_CENTER', ['ddapo_attention']],
    ['ddapo_group_norm', 'boolean', false, 'DDAPO_GROUP_NORM', ['ddapo_attention']],
  ]);
});

test('those of ms-swift have its names and defaults', () => {
  const theirs: Readonly<Record<string, { readonly default: unknown }>> = rlhfArguments.fields;
  const ours = statedFlags().filter(({ name }) => name in theirs);
  expect(ours.map(({ name }) => name.split('_')[0])).toEqual([
    ...Array<string>(5).fill('cosine'),
    ...Array<string>(2).fill('repetition'),
    ...Array<string>(2).fill('soft'),
  ]);
  for (const { name, flag } of ours) expect([name, flag.default]).toEqual([name, theirs[name]!.default]);
});

test('a subclass under another name shares those of its class', () => {
  orms.mine = class extends DDAPOAttentionORM {};
  expect(
    statedFlags()
      .map(({ rewards }) => rewards)
      .filter(([first]) => first === 'ddapo_attention'),
  ).toEqual([
    ['ddapo_attention', 'mine'],
    ['ddapo_attention', 'mine'],
  ]);
});

const good = { kind: 'number', default: 1, help: 'A number.' };

test.each([
  ['a list', ['my_flag'], /^reward "mine" has `static flags` with an object \(Array\)$/],
  ['a value for a flag', { my_flag: 1 }, /with 1 for "my_flag"$/],
  ['no kind', { my_flag: { ...good, kind: undefined } }, /with undefined as a kind for "my_flag"$/],
  ['an unknown kind', { my_flag: { ...good, kind: 'int' } }, /with the string "int" as a kind for "my_flag"$/],
  ['no help', { my_flag: { ...good, help: '' } }, /with the string "" as help for "my_flag"$/],
  ['no default', { my_flag: { ...good, default: undefined } }, /with no default for "my_flag"$/],
  ['a bound that is none', { my_flag: { ...good, min: '0' } }, /with the string "0" as min for "my_flag"$/],
  ['a variable that is none', { my_flag: { ...good, env: 3 } }, /with 3 as env for "my_flag"$/],
  ['no choices', { my_flag: { ...good, kind: 'choice' } }, /with undefined as choices for "my_flag"$/],
  ['a name that no command line has', { 'my flag': good }, /with the name "my flag"$/],
  ['a name in another style', { myFlag: good }, /with the name "myFlag"$/],
  [
    'another meaning of a name',
    { ddapo_group_norm: good },
    /with "ddapo_group_norm", which reward "ddapo_attention" declares differently$/,
  ],
])('%s is refused with reward and file', (_, flags, message) => {
  register('mine', flags);
  expect(statedFlags).toThrow(expect.objectContaining({ code: 'E_REWARD_CLASS', where: 'mine.ts', exitCode: 2 }));
  expect(statedFlags).toThrow(message);
});
