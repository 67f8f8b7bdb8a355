import { describe, expect, test } from 'vitest';
import { combineRewards, groupAdvantages, groupsOf } from '../../src/grpo/advantages.ts';
import { goldenGrpo } from './golden.ts';

describe('groupAdvantages', () => {
  for (const { name, golden } of goldenGrpo()) {
    test(`agrees with the golden advantages of ${name}`, () => {
      const { advantages } = groupAdvantages(golden.rewards, golden.num_generations, { scaleRewards: 'group' });
      const errors = golden.advantages.map((expected, i) => Math.abs(expected - advantages[i]!));
      const largest = Math.max(...errors);
      console.log(`${name}: largest error of the advantages ${largest.toExponential(2)}`);
      expect(errors).toHaveLength(golden.rewards.length);
      expect(largest).toBeLessThan(2e-6);
    });
  }

  const rewards = [1, 0, 0, 1, 5, 5, 5, 5];

  test('divides by the sample deviation of the group plus 1e-4', () => {
    const made = groupAdvantages(rewards, 4, { scaleRewards: 'group' });
    const std = Math.sqrt(1 / 3);
    expect(made.groupMean).toEqual([0.5, 5]);
    expect(made.groupStd[0]).toBeCloseTo(std, 14);
    expect(made.groupStd[1]).toBe(0);
    expect(made.advantages[0]).toBeCloseTo(0.5 / (std + 1e-4), 14);
    expect(made.advantages[1]).toBeCloseTo(-0.5 / (std + 1e-4), 14);
    expect([...made.advantages.subarray(4)]).toEqual([0, 0, 0, 0]);
    expect(made.fracZeroStd).toBe(0.5);
    expect(made.rewardStd).toBeCloseTo(std / 2, 14);
  });

  test('divides by the deviation of the batch, or not at all', () => {
    const batch = groupAdvantages(rewards, 4, { scaleRewards: 'batch' });
    const average = 22 / 8;
    const std = Math.sqrt(rewards.reduce((sum, r) => sum + (r - average) ** 2, 0) / 7);
    expect(batch.advantages[3]).toBeCloseTo(0.5 / (std + 1e-4), 14);
    expect(batch.rewardStd).toBeCloseTo(std, 14);
    expect(batch.fracZeroStd).toBe(0.5);
    const none = groupAdvantages(rewards, 4, { scaleRewards: 'none' });
    expect([...none.advantages]).toEqual([0.5, -0.5, -0.5, 0.5, 0, 0, 0, 0]);
  });

  test('equal rewards that binary fractions cannot hold have advantages of exactly 0', () => {
    const made = groupAdvantages(new Array(7).fill(0.1 + 0.2), 7, { scaleRewards: 'group' });
    expect([...made.advantages]).toEqual(new Array(7).fill(0));
    expect(made.groupStd).toEqual([0]);
  });

  test('a null takes no part in the baseline and has advantage 0', () => {
    const made = groupAdvantages([null, 1, 3, null], 4, { scaleRewards: 'none' });
    expect(made.groupMean).toEqual([2]);
    expect([...made.advantages]).toEqual([0, -1, 1, 0]);
    const same = groupAdvantages([1, 3], 2, { scaleRewards: 'none' });
    expect(made.groupStd[0]).toBe(same.groupStd[0]);
  });

  test('a group with one reward or none has no signal and no NaN', () => {
    const made = groupAdvantages([null, null, null, 7, 1, 2], 2, { scaleRewards: 'group' });
    expect(made.groupMean).toEqual([null, 7, 1.5]);
    expect([...made.advantages.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
    expect(made.fracZeroStd).toBeCloseTo(2 / 3, 14);
    // Groups without any reward do not pull the logged deviation down.
    expect(made.rewardStd).toBeCloseTo(Math.SQRT1_2 / 2, 14);
  });

  test('refuses a NaN and groups that do not fit', () => {
    expect(() => groupAdvantages([1, Number.NaN], 2, { scaleRewards: 'group' })).toThrow('internal: reward 1 is NaN');
    expect(() => groupAdvantages([1, 2, 3], 2, { scaleRewards: 'group' })).toThrow('groups of 2');
    expect(() => groupsOf([], 2)).toThrow('internal:');
  });
});

describe('combineRewards', () => {
  test('a completion that lacks what its group has is left out; a function that no one in the group has is not', () => {
    const values = [
      [-1, null, null, null],
      [1, 0, 1, 0],
    ];
    expect(combineRewards(values, [2, 1], 2)).toEqual([-1, null, 1, 0]);
  });
  test('weights, leaves nulls out, and is null only where nothing is left', () => {
    const values = [
      [1, null, null, 0],
      [2, 2, null, null],
    ];
    expect(combineRewards(values, [1, 4], 1)).toEqual([9, 8, null, 0]);
  });

  test('a weight of 0 still makes a reward exist', () => {
    expect(combineRewards([[3], [null]], [0, 1], 1)).toEqual([0]);
  });

  test('refuses ragged columns and a wrong number of weights', () => {
    expect(() => combineRewards([[1], [1, 2]], [1, 1], 1)).toThrow('internal:');
    expect(() => combineRewards([[1]], [1, 1], 1)).toThrow('internal:');
  });
});
