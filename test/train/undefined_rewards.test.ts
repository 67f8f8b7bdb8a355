import { expect, test } from 'vitest';
import type { RewardColumn } from '../../src/rewards/run.ts';
import { createValueWatch } from '../../src/train/undefined_rewards.ts';

type Values = RewardColumn['values'];

function column(name: string, values: Values, spoke = false): RewardColumn {
  return { name, label: name.toUpperCase(), weight: 1, values, spoke };
}

/** What a watch says of rollouts of two rewards, where the total is b's value. */
function told(...rollouts: readonly [Values, Values][]): string[][] {
  const watch = createValueWatch();
  return rollouts.map(([a, b], i) => watch.observe({ columns: [column('a', a), column('b', b)], totals: b }, i + 1));
}

test('a reward without any value is told of once, with its name and the step', () => {
  const silent: [Values, Values] = [
    [null, null],
    [1, 0],
  ];
  expect(
    told(
      [
        [null, 1],
        [1, 0],
      ],
      silent,
      silent,
    ),
  ).toEqual([
    [],
    [
      expect.stringMatching(
        /^step 2: reward "a" returned no value for any of the 2 completions.*Check.*rewards\/A\/null_/,
      ),
    ],
    [],
  ]);
});

test('if it has said something itself, that is pointed to', () => {
  const judged = { columns: [column('a', [null], true), column('b', [1])], totals: [1] };
  expect(createValueWatch().observe(judged, 1)).toEqual([expect.stringContaining('See its own message above')]);
});

test('a rollout without any reward is one sentence, after which nobody is told of again', () => {
  const nothing: [Values, Values] = [
    [null, null],
    [null, null],
  ];
  expect(
    told(nothing, nothing, [
      [null, null],
      [1, 0],
    ]),
  ).toEqual([[expect.stringMatching(/^step 1: no completion got a reward \(a, b: null\)/)], [], []]);
});
