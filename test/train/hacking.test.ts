/**
 * The early sign of a hacked attention reward: TDR that begins to go with another reward within groups.
 */
import { expect, test } from 'vitest';
import type { Reward } from '../../src/rewards/registry.ts';
import { createHackingWatch } from '../../src/train/hacking.ts';
import type { Judged } from '../../src/train/judge.ts';

const orm = { call: () => [] };
const rewards: Reward[] = [
  { name: 'ddapo_attention', label: 'DDAPOAttentionORM', orm, weight: 1, needs: ['attention'], file: undefined },
  { name: 'accuracy', label: 'Accuracy', orm, weight: 4, needs: [], file: undefined },
  { name: 'format', label: 'Format', orm, weight: 1, needs: [], file: undefined },
];

function judged(tdr: readonly (number | null)[] | null, accuracy: readonly (number | null)[]): Judged {
  const column = (k: number, values: readonly (number | null)[]) => ({
    name: rewards[k]!.name,
    label: rewards[k]!.label,
    weight: 1,
    spoke: false,
    values: [...values],
  });
  return {
    columns: [
      column(
        0,
        accuracy.map(() => 0),
      ),
      column(1, accuracy),
      column(
        2,
        accuracy.map(() => 1),
      ),
    ],
    totals: [...accuracy],
    metrics: {},
    extras: new Map(tdr === null ? [] : [['tdr', tdr]]),
  };
}

test('the correlation with every other reward, within groups', () => {
  const watch = createHackingWatch(rewards);
  // within either group more TDR goes with less accuracy, though the second group has more of both
  const { metrics } = watch.observe(judged([1, 2, 11, 12], [1, 0, 5, 4]), 2);
  expect(Object.keys(metrics)).toEqual(['attention/corr_tdr_Accuracy']); // format does not vary, so there is none
  expect(metrics['attention/corr_tdr_Accuracy']).toBeCloseTo(-1, 10);
});

test('samples without a ratio or a value are left out; without any ratio there is nothing to tell', () => {
  const watch = createHackingWatch(rewards);
  const { metrics } = watch.observe(judged([1, 2, null, 3], [0, 1, 100, null]), 4);
  expect(metrics['attention/corr_tdr_Accuracy']).toBeCloseTo(1, 10);
  expect(watch.observe(judged([null, null], [0, 1]), 2).metrics).toEqual({});
  expect(watch.observe(judged(null, [0, 1]), 2)).toEqual({ metrics: {}, warnings: [] });
});

test('one warning when it turns from negative to positive and stays there; none where it began positive', () => {
  const steps = (sign: number, count: number) => Array.from({ length: count }, () => sign);
  const warningsOf = (signs: readonly number[]): string[] => {
    const watch = createHackingWatch(rewards);
    return signs.flatMap((sign) => [
      ...watch.observe(judged([1, 2, 3, 4], sign > 0 ? [1, 2, 3, 4] : [4, 3, 2, 1]), 4).warnings,
    ]);
  };
  const turned = warningsOf([...steps(-1, 30), ...steps(1, 60)]);
  expect(turned).toHaveLength(1);
  expect(turned[0]).toContain('Accuracy');
  expect(turned[0]).toContain('--reward_weights');
  expect(warningsOf(steps(1, 60))).toEqual([]);
  expect(warningsOf(steps(-1, 60))).toEqual([]);
});
