/**
 * A run that stands still says so while it does, with the reason that its numbers point to.
 */
import { describe, expect, test } from 'vitest';
import { combineRewards, groupAdvantages } from '../../src/grpo/advantages.ts';
import { createStandstillWatch, type Lesson } from '../../src/train/stalled_run.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { tinyProject, tinyRun } from '../helpers/tiny.ts';

type Values = readonly (number | null)[];

interface Sampled {
  /** Values of 2 prompts with 2 completions each, by reward. */
  readonly rewards: Readonly<Record<string, Values>>;
  readonly weights?: readonly number[];
  readonly ids?: readonly (readonly number[])[];
  readonly truncated?: readonly boolean[];
}

function lesson({ rewards, weights, ids = [[1], [2], [3], [4]], truncated = [] }: Sampled): Lesson {
  const names = Object.keys(rewards);
  const weightOf = (k: number) => weights?.[k] ?? 1;
  const totals = combineRewards(
    Object.values(rewards),
    names.map((_, k) => weightOf(k)),
    2,
  );
  const group = (first: number) => ({
    prompt: {
      row: { index: 0, where: 'rows.jsonl:1', messages: [], images: [], tools: [], notes: [], columns: {} },
      text: 'why?',
      ids: Int32Array.of(7),
      images: [],
      systemPrefix: 0,
    },
    completions: [first, first + 1].map((i) => ({
      ids: Int32Array.from(ids[i]!),
      text: '',
      truncated: truncated[i] ?? false,
    })),
  });
  return {
    rollout: { groups: [group(0), group(2)], tape: null },
    judged: {
      columns: names.map((name, k) => ({
        name,
        label: name,
        weight: weightOf(k),
        values: [...rewards[name]!],
        spoke: false,
      })),
      totals,
      metrics: {},
      extras: new Map(),
    },
    advantages: groupAdvantages(totals, 2, { scaleRewards: 'group' }),
  };
}

const watchOf = () => createStandstillWatch({ maxCompletionLength: 32, temperature: 0.7 });

/** What is said in these many steps, by step. */
function said(sampled: Sampled, steps = 12): Record<number, string> {
  const watch = watchOf();
  const lines: Record<number, string> = {};
  for (let step = 1; step <= steps; step++) {
    const line = watch.observe({ step, loss: 0, gradNorm: 0 }, [lesson(sampled)]);
    if (line !== null) lines[step] = line;
  }
  return lines;
}

const zeros: Sampled = { rewards: { Acc: [0, 0, 0, 0], Format: [1, 1, 1, 1] } };

describe('when', () => {
  test('at the twelfth step in a row, and when their number has doubled', () => {
    const lines = said(zeros, 50);
    expect(Object.keys(lines)).toEqual(['12', '24', '48']);
    expect(lines[12]).toMatch(/^steps 1 to 12: loss, reward deviation and gradient are all 0, so nothing is learned/);
    expect(lines[48]).toMatch(/^steps 1 to 48: /);
  });

  test('a step that learns begins the count anew, and what was before it is forgotten', () => {
    const watch = watchOf();
    const still = (step: number, of = zeros) => watch.observe({ step, loss: 0, gradNorm: 0 }, [lesson(of)]);
    const ones: Sampled = { rewards: { Acc: [1, 1, 1, 1] } };
    for (let step = 1; step <= 11; step++) expect(still(step)).toBeNull();
    const learns = lesson({ rewards: { Acc: [0, 1, 0, 0] } });
    expect(watch.observe({ step: 12, loss: 0, gradNorm: 0.5 }, [learns])).toBeNull();
    for (let step = 13; step <= 23; step++) expect(still(step, ones)).toBeNull();
    expect(still(24, ones)).toMatch(/^steps 13 to 24: .*Acc 1 for all, 0% of 48 completions/);
  });

  test.each([
    ['loss', { loss: 1e-20, gradNorm: 0 }, zeros],
    ['gradient', { loss: 0, gradNorm: 1e-20 }, zeros],
    ['gradient that is not finite', { loss: 0, gradNorm: Number.NaN }, zeros],
    ['deviation', { loss: 0, gradNorm: 0 }, { rewards: { Acc: [0, 1, 0, 0] } }],
  ])('a %s is enough not to stand still', (_, numbers, sampled) => {
    const watch = watchOf();
    for (let step = 1; step <= 30; step++) {
      expect(watch.observe({ step, ...numbers }, [lesson(sampled)])).toBeNull();
    }
  });

  test('a rollout that serves several steps counts once', () => {
    const watch = watchOf();
    const same = lesson(zeros);
    const lines = Array.from({ length: 12 }, (_, i) => watch.observe({ step: i + 1, loss: -0, gradNorm: 0 }, [same]));
    expect(lines.at(-1)).toContain('0% of 4 completions');
  });
});

describe('why', () => {
  const cut = [true, true, true, true];
  test.each<[string, Sampled, RegExp]>([
    ['too hard', { rewards: { Acc: [0, 0, 0, 0] } }, /Acc 0 for all, .*cause: Acc is always 0: the rows are too hard/],
    ['too easy', { rewards: { Acc: [1, 1, 1, 1] } }, /Acc 1 for all, .*cause: Acc is always 1: the rows are too easy/],
    ['one of each', zeros, /cause: Acc is always 0: .*; Format is always 1: /],
    [
      'a constant',
      { rewards: { Mine: [0.25, 0.25, 0.25, 0.25] } },
      /cause: Mine is always 0\.25: .*not depend on the co/,
    ],
    [
      'prompts that are each too easy or too hard',
      { rewards: { Acc: [1, 1, 0, 0] } },
      /Acc between 0 and 1 for all, .*cause: Acc differs only between prompts/,
    ],
    [
      'cut off',
      { rewards: { Acc: [0, 0, 0, 0] }, truncated: cut },
      /100% of 48 completions cut off at 32 tokens.*cause: completions are cut off before .*--max_completion_length/,
    ],
    ['cut off, but right', { rewards: { Acc: [1, 1, 1, 1] }, truncated: cut }, /100% of 48.*cause: Acc is always 1/],
    [
      'no variety',
      { rewards: { Acc: [0, 0, 1, 1] }, ids: [[1, 2], [1, 2], [3], [3]], truncated: cut },
      /cause: all completions of a prompt are identical at --temperature 0\.7/,
    ],
    [
      'weights',
      { rewards: { Acc: [0, 1, 0, 1], Format: [1, 1, 1, 1] }, weights: [0, 1] },
      /Acc between 0 and 1 for all.*cause: single rewards differ, but their weighted sums do not; check --reward_weights/,
    ],
    ['weights of 0', { rewards: { Acc: [0, 0, 0, 0] }, weights: [0] }, /cause: all --reward_weights are 0/],
    [
      'nothing but nulls',
      { rewards: { Acc: [null, null, null, null] } },
      /Acc null for all.*cause: no completion has a reward/,
    ],
    [
      'some nulls',
      { rewards: { Acc: [null, null, 1, 1], Format: [0, 0, 0, 0] } },
      /Acc 1 or null, Format 0 for all.*cause: Acc is always 1.*Format is always 0/,
    ],
  ])('%s', (_, sampled, line) => {
    expect(said(sampled)[12]).toMatch(line);
  });
});

test('in a run it is told after the twelfth step and before the thirteenth', async () => {
  const project = await tinyProject(temporaryFolder());
  const { stdout } = await tinyRun(project, 'still', { reward_funcs: 'format', max_steps: '13' });
  const at = stdout.indexOf('steps 1 to 12: loss, reward deviation and gradient are all 0');
  expect(at).toBeGreaterThan(stdout.indexOf('step 11/13'));
  expect(at).toBeLessThan(stdout.indexOf('step 13/13'));
  expect(stdout.slice(at)).toMatch(/^.*Format 0 for all/);
});
