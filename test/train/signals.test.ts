import { expect, test } from 'vitest';
import type { Reward } from '../../src/rewards/reward.ts';
import { shownSignals, signalMetrics } from '../../src/train/signals.ts';

const reward = (name: string, signals?: Reward['signals']): Reward => ({
  ...{ name, label: name, orm: { call: () => [] }, weight: 1, needs: [], file: undefined },
  ...(signals && { signals }),
});
const rewards = [reward('looks', [{ column: 'sure', metric: 'mine/sure' }]), reward('plain')];
const extras = (column: string, values: readonly (number | null)[]) => ({ extras: new Map([[column, values]]) });

test('the mean and the sample deviation over all batches; what has no number is left out', () => {
  expect(signalMetrics(rewards, [extras('sure', [1, null]), extras('sure', [3, 5])])).toEqual({
    'mine/sure_mean': 3,
    'mine/sure_std': 2,
  });
  expect(signalMetrics(rewards, [extras('sure', [7])])).toEqual({ 'mine/sure_mean': 7, 'mine/sure_std': 0 });
});

test('without a number, or without the column, nothing is logged', () => {
  expect(signalMetrics(rewards, [extras('sure', [null])])).toEqual({});
  expect(signalMetrics(rewards, [extras('other', [1])])).toEqual({});
});

test('a reader finds the mean under the name of the column', () => {
  const signal = { label: 'sure', metric: 'mine/sure_mean', correlation: 'mine/corr_sure_' };
  expect(shownSignals(rewards)).toEqual([signal]);
});
