/**
 * The early sign of a hacked attention reward: TDR that begins to go with another reward within groups.
 */
import { describe, expect, test } from 'vitest';
import type { RewardSignal } from '../../src/rewards/contract.ts';
import { DDAPOAttentionORM } from '../../src/rewards/ddapo_attention/index.ts';
import type { Reward } from '../../src/rewards/reward.ts';
import type { Judged } from '../../src/train/judge.ts';
import { createHackingWatch } from '../../src/train/reward_hacking.ts';

const orm = { call: () => [] };
const rewards: Reward[] = [
  {
    ...{ name: 'ddapo_attention', label: 'DDAPOAttentionORM', orm, weight: 1, needs: ['attention'], file: undefined },
    signals: DDAPOAttentionORM.signals,
  },
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
  expect(turned[0]).toMatch(
    /^the correlation of tdr with Accuracy within groups has turned from negative to positive: /,
  );
  expect(turned[0]).toContain('score better, so the model may be hacking DDAPOAttentionORM.');
  expect(turned[0]).toContain('--reward_weights');
  expect(warningsOf(steps(1, 60))).toEqual([]);
  expect(warningsOf(steps(-1, 60))).toEqual([]);
});

describe('a signal of another reward', () => {
  const state = (signal: RewardSignal): Reward[] =>
    rewards.map((reward, i) => (i === 0 ? { ...reward, signals: [signal] } : reward));
  const watch = { pays: 'high', turned: 'surer answers are now wrong' } as const;

  test('that pays for high values is watched the other way round, under its own name', () => {
    const hacking = createHackingWatch(state({ column: 'tdr', metric: 'mine/sure', watch }));
    const step = (accuracy: readonly number[]) => hacking.observe(judged([1, 2, 3, 4], accuracy), 4);
    const rising = Array.from({ length: 30 }, () => step([1, 2, 3, 4]));
    expect(rising[0]!.metrics).toEqual({ 'mine/corr_sure_Accuracy': 1 });
    const falling = Array.from({ length: 60 }, () => step([4, 3, 2, 1]));
    expect(falling[0]!.metrics).toEqual({ 'mine/corr_sure_Accuracy': -1 });
    expect([...rising, ...falling].flatMap(({ warnings }) => warnings)).toEqual([
      expect.stringMatching(
        /^the correlation of tdr with Accuracy .* from positive to negative: surer answers are now/,
      ),
    ]);
  });

  test('that is not to be watched has no correlations', () => {
    const hacking = createHackingWatch(state({ column: 'tdr', metric: 'mine/sure' }));
    expect(hacking.observe(judged([1, 2], [0, 1]), 2)).toEqual({ metrics: {}, warnings: [] });
  });
});
