/**
 * The table of metrics: each name has one entry, and families do not take one another's names.
 */
import { describe, expect, test } from 'vitest';
import { METRICS, mainMetrics, metricOf } from '../../src/metrics/table.ts';
import { isOwnedMetric } from '../../src/rewards/metric.ts';

test('each name is declared once, with a meaning that is part of a sentence', () => {
  const names = METRICS.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
  for (const { meaning } of METRICS) expect(meaning).toMatch(/^[^A-Z].*[^.]$/);
  for (const { name } of METRICS) expect([name, metricOf(name.replace('NAME', 'x'))?.name]).toEqual([name, name]);
});

test.each([
  ['reward', 'reward'],
  ['eval_reward', 'reward'],
  ['rewards/With/slash/mean', 'rewards/NAME/mean'],
  ['eval_rewards/Format/std', 'rewards/NAME/std'],
  ['attention/tdr_mean', 'attention/tdr_mean'],
  ['attention/entropy_mean', 'attention/NAME_mean'],
  ['attention/image_mass/layer_07', 'attention/image_mass/NAME'],
  ['attention/corr_tdr_Format', 'attention/corr_NAME'],
  ['step_time', 'step_time'],
  ['step_time/rollout', 'step_time/NAME'],
  ['train_speed(s/it)', 'train_speed(s/it)'],
  ['reward_stdx', undefined],
  ['xreward', undefined],
  ['my_own/number', undefined],
])('%s is %s', (name, expected) => {
  expect(metricOf(name)?.name).toBe(expected);
});

describe('the main ones', () => {
  test('come in the order of the table, evaluations after training, families in the order of the log', () => {
    const logged = [
      'grad_norm',
      'eval_reward',
      'loss',
      'rewards/B/mean',
      'my',
      'rewards/A/mean',
      'eval_loss',
      'reward',
    ];
    expect(mainMetrics(logged)).toEqual([
      'reward',
      'eval_reward',
      'rewards/B/mean',
      'rewards/A/mean',
      'loss',
      'eval_loss',
      'grad_norm',
    ]);
  });
});

test('no reward may log under a name of the run, and each may log under those of rewards', () => {
  const owned = ['reward', 'step', 'eval_mine', 'completions/mine', 'sampling/x', 'attention/own_mass', 'kl', 'acc'];
  const free = ['mine', 'attention/mine', 'attention/tdr_mean', 'attention/corr_tdr_x', 'rewardsX'];
  expect(owned.filter((name) => !isOwnedMetric(name))).toEqual([]);
  expect(free.filter(isOwnedMetric)).toEqual([]);
});
