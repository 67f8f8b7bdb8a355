/** Whole runs with the flags of sampling: what completions look like, and that scores stay those of the model. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGenerator } from '../../src/engine/generation.ts';
import { stopTest } from '../../src/template/stop_words.ts';
import { openPolicy, type Policy } from '../../src/train/policy.ts';
import { stopsAndBans } from '../../src/train/sampling.ts';
import { createRandom } from '../../src/util/random.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type FlagValues, type TinyProject, type TinyRun, tinyProject, tinyRun } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root);
});
let runs = 0;
const run = (changes: FlagValues): Promise<TinyRun> =>
  tinyRun(project, `${runs++}`, { reward_funcs: 'letters', max_completion_length: '16', temperature: '1', ...changes });
const textsOf = ({ completions }: TinyRun): string[] => completions.completion as string[];

test('stop words end a completion, which keeps them; it does not count as cut off', async () => {
  const made = await run({ stop_words: ['e', 'th'] });
  const stopped = textsOf(made).filter((text) => /e|th/.test(text));
  expect(stopped.length).toBeGreaterThan(2);
  // Nothing but the rest of one token follows the first word.
  for (const text of stopped) expect(text.length - text.search(/e|th/), text).toBeLessThan(12);
  const free = await run({});
  const clipped = (of: TinyRun): number => of.logs[0]!['completions/clipped_ratio']!;
  expect(clipped(made)).toBeLessThan(clipped(free));
});

describe('stopTest', () => {
  const decode = (ids: ArrayLike<number>): string => Buffer.from(Uint8Array.from(ids)).toString('utf8');
  const ids = (text: string): number[] => [...Buffer.from(text)];
  test('finds a word over several tokens and inside one, in the newest tokens only', () => {
    const ends = stopTest(['stop', 'ö!'], { decode })!;
    expect(ends(ids('please stop'))).toBe(true);
    expect(ends(ids('hör ö!'))).toBe(true);
    expect(ends(ids('please sto'))).toBe(false);
    expect(ends(ids(`stop${' '.repeat(40)}`))).toBe(false);
    expect(stopTest([], { decode })).toBeUndefined();
  });
});

describe('bad words', () => {
  let policy: Policy;
  beforeAll(async () => {
    policy = await openPolicy({ model: project.model, attnImpl: 'sdpa', trainable: false });
  });
  afterAll(() => policy.close());
  const idsOf = (text: string): number[] => [...policy.template.tokenizer.encodeText(text)];

  test('of one token are banned alone and after a space', () => {
    const plain = stopsAndBans(policy, []).bannedIds;
    const word = Array.from({ length: 448 }, (_, id) => policy.template.tokenizer.decode([id])).find(
      (text) => /^[a-z]+$/.test(text) && idsOf(text).length === 1 && idsOf(` ${text}`).length === 1,
    )!;
    const { bannedIds, bannedSequences } = stopsAndBans(policy, [word]);
    expect(bannedIds.filter((id) => !plain.includes(id))).toEqual(
      [...idsOf(word), ...idsOf(` ${word}`)].toSorted((a, b) => a - b),
    );
    expect(bannedSequences).toEqual([]);
  });

  test('of several tokens are sequences, and a space before them does not count', () => {
    const plain = stopsAndBans(policy, []).bannedIds;
    for (const word of ['incomprehensible', ' incomprehensible']) {
      const { bannedIds, bannedSequences } = stopsAndBans(policy, [word]);
      expect(bannedIds).toEqual(plain);
      expect(bannedSequences).toEqual([idsOf('incomprehensible'), idsOf(' incomprehensible')]);
    }
  });

  test('are refused without a letter', async () => {
    await expect(run({ bad_words: ' ' })).rejects.toThrow(/" " is no word/);
  });

  test('two tokens in a row are not drawn; until then, completions are those without a ban, and all scores are a forward’s', async () => {
    const generator = createGenerator(policy.model);
    const questions = ['what is 1 + 1?', 'name a colour, and then another one'];
    const prompts = await Promise.all(
      questions.map((content) => policy.template.encode([{ role: 'user', content }], [])),
    );
    const options = (bannedSequences: readonly (readonly number[])[]) => ({
      ...{
        count: 6,
        maxNewTokens: 24,
        temperature: 0.7,
        stopIds: [],
        bannedIds: [],
        random: createRandom(3),
        keep: true,
      },
      // Some rows end early, so that the others move to other places.
      endsAfter: (ids: readonly number[]) => ids.length > 5 && ids.at(-1)! % 11 === 0,
      bannedSequences,
    });
    const completions = async (sequences: readonly (readonly number[])[]) => {
      const { groups } = await generator.generate(prompts, options(sequences));
      const { groups: scored } = await policy.model.score(groups, { temperature: 0.7, keep: false });
      for (const [g, { completions }] of groups.entries()) {
        for (const [i, { logps }] of completions.entries()) {
          const forward = scored[g]!.completions[i]!.logps;
          for (const [t, logp] of logps.entries()) expect(Math.abs(logp - forward[t]!)).toBeLessThan(1e-4);
        }
      }
      return groups.flatMap(({ completions }) => completions.map(({ ids }) => [...ids]));
    };
    const free = await completions([]);
    // Two, three and four ids that come in the middle of some completion.
    const bans = [free[0]!.slice(2, 4), free[4]!.slice(3, 6), free[8]!.slice(1, 5)];
    const made = await completions(bans);
    /** The first place of a sequence; Infinity if there is none. */
    const placeOf = (sequence: readonly number[], ids: readonly number[]): number => {
      const at = ids.findIndex((_, i) => sequence.every((id, k) => id === ids[i + k]));
      return at < 0 ? Number.POSITIVE_INFINITY : at;
    };
    let changed = 0;
    for (const [i, ids] of made.entries()) {
      for (const ban of bans) expect(placeOf(ban, ids), `completion ${i}`).toBe(Number.POSITIVE_INFINITY);
      // What is drawn changes where a sequence may be completed, even if that was not to come.
      const until = Math.min(...bans.map((ban) => placeOf(ban.slice(0, -1), free[i]!) + ban.length - 1));
      expect(ids.slice(0, until)).toEqual(free[i]!.slice(0, until));
      if (until === Number.POSITIVE_INFINITY) expect(ids).toEqual(free[i]);
      if (bans.some((ban) => placeOf(ban, free[i]!) < Number.POSITIVE_INFINITY)) changed++;
    }
    expect(changed).toBeGreaterThanOrEqual(3);
    await generator.release();
  });
});

test.each<[string, FlagValues]>([
  ['a penalty', { repetition_penalty: '3' }],
  ['min_p', { min_p: '0.3' }],
  ['both, with top_k', { repetition_penalty: '0.5', min_p: '0.1', top_k: '20' }],
])('%s changes what is drawn; what is learned from are the scores of a forward', async (_, changes) => {
  const [free, made, forward] = [await run({}), await run(changes), await run({ ...changes, reuse_rollout: 'false' })];
  expect(textsOf(made)).not.toEqual(textsOf(free));
  expect(textsOf(made).slice(0, 8)).toEqual(textsOf(forward).slice(0, 8));
  const [a, b] = [made.logs[0]!, forward.logs[0]!];
  for (const name of ['loss', 'grad_norm', 'entropy']) expect(Math.abs(a[name]! - b[name]!), name).toBeLessThan(1e-4);
});

test('a penalty without bounds: no token of the prompt comes, and none comes twice', async () => {
  const policy = await openPolicy({ model: project.model, attnImpl: 'sdpa', trainable: false });
  const generator = createGenerator(policy.model);
  const questions = ['what is 1 + 1?', 'name a colour, and then another one'];
  const prompts = await Promise.all(
    questions.map((content) => policy.template.encode([{ role: 'user', content }], [])),
  );
  const { groups } = await generator.generate(prompts, {
    ...{ count: 3, maxNewTokens: 12, temperature: 0.1, repetitionPenalty: 1e30, stopIds: [] },
    // Some rows end early, so that the others move to other places.
    endsAfter: (ids) => ids.length > 3 && ids.at(-1)! % 5 === 0,
    ...{ bannedIds: [], random: createRandom(3) },
  });
  await generator.release();
  await policy.close();
  const lengths = groups.flatMap(({ prompt, completions }) =>
    completions.map(({ ids }) => {
      expect(new Set(ids).size).toBe(ids.length);
      expect([...ids].filter((id) => prompt.ids.includes(id))).toEqual([]);
      return ids.length;
    }),
  );
  expect(new Set(lengths).size).toBeGreaterThan(1);
});
