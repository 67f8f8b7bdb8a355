/**
 * The rewards that are ms-swift's, against values of its own classes (ms_swift/make.py), and what is different on purpose.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CosineReward, cosineOf } from '../../src/rewards/cosine/index.ts';
import { RepetitionPenalty, repeatedShare } from '../../src/rewards/repetition/index.ts';
import { SoftOverlong } from '../../src/rewards/soft_overlong/index.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';
import values from './ms_swift/values.json' with { type: 'json' };

const tokens = (lengths: readonly number[]) => lengths.map((length) => new Int32Array(length));

/** The largest difference; lists of different lengths are an error. */
function largestError(ours: readonly (number | null)[], theirs: readonly number[]): number {
  expect(ours).toHaveLength(theirs.length);
  return Math.max(...theirs.map((value, i) => Math.abs(ours[i]! - value)));
}

test('the values are of the version that is claimed', () => {
  expect(values['made with']).toMatch(/^ms-swift 4\.6\.0,/);
});

describe('repetition', () => {
  test('gives what ms-swift gives, unicode and all blanks of Python included', () => {
    let [largest, cases, different] = [0, 0, 0];
    for (const { n_grams, max_penalty, completions, values: theirs } of values.repetition) {
      const reward = new RepetitionPenalty({ repetition_n_grams: n_grams, repetition_max_penalty: max_penalty });
      const ours = reward.call(completions);
      largest = Math.max(largest, largestError(ours, theirs));
      cases += theirs.length;
      different += theirs.filter((value) => value !== 0).length;
    }
    console.log(`repetition: largest error ${largest} over ${cases} cases, ${different} of them not 0`);
    expect(cases).toBeGreaterThan(800);
    expect(different).toBeGreaterThan(300);
    expect(largest).toBe(0); // the same float64 operations
  });

  test.each([
    ['', 0],
    ['one two', 0],
    ['a b c', 0],
    ['a b c a b c', -0.25],
    ['A b c a B C', -0.25],
    ['w w w w', -0.5],
  ])('%j -> %d', (text, value) => expect(new RepetitionPenalty().call([text])).toEqual([value]));

  test('a share, and the same for every order in which words that all differ stand', () => {
    const words = fc.array(fc.constantFrom('a', 'b', 'c', 'é', '図'), { maxLength: 40 });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 5 }), (list, size) => {
        const share = repeatedShare(list.join(' '), size);
        expect(share).toBeGreaterThanOrEqual(0);
        expect(share).toBeLessThan(1);
        if (new Set(list).size === list.length) expect(share).toBe(0);
      }),
    );
  });

  test('time grows with the text, not with its square', () => {
    const [start, words] = [performance.now(), 'a '.repeat(200_000)];
    expect(repeatedShare(words, 3)).toBeCloseTo(1, 4);
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test('settings that cannot be are refused by name', () => {
    expect(() => new RepetitionPenalty({ repetition_n_grams: 0 })).toThrow('--repetition_n_grams is 0');
    expect(() => new RepetitionPenalty({ repetition_max_penalty: 'x' })).toThrow(
      '--repetition_max_penalty is the string',
    );
  });
});

describe('soft_overlong', () => {
  test('gives what ms-swift gives', () => {
    let [largest, cases] = [0, 0];
    for (const { soft_max_length, soft_cache_length, lengths, values: theirs } of values.soft_overlong) {
      const ours = new SoftOverlong({ soft_max_length, soft_cache_length }).call([], {
        completion_ids: tokens(lengths),
      });
      largest = Math.max(largest, largestError(ours, theirs));
      cases += theirs.length;
    }
    console.log(`soft_overlong: largest error ${largest} over ${cases} cases`);
    expect(cases).toBeGreaterThan(90);
    expect(largest).toBe(0); // the same float64 operations
  });

  test('the longest length is that of the run where none is given', () => {
    const reward = new SoftOverlong({ soft_cache_length: 10, max_completion_length: 100 });
    expect(reward.call([], { completion_ids: tokens([0, 90, 95, 100, 110]) })).toEqual([0, 0, -0.5, -1, -2]);
  });

  test.each([
    ['no cache length', { soft_max_length: 5 }, '--soft_cache_length has no value'],
    ['no longest length', { soft_cache_length: 5 }, '--soft_max_length has no value'],
    ['two that do not fit', { soft_max_length: 5, soft_cache_length: 5 }, 'is 5, expected less than --soft_max_length'],
    ['a part of a token', { soft_max_length: 5, soft_cache_length: 0.5 }, 'is 0.5, which is not a whole number'],
  ])('%s: refused with the flag to set', (_, args, message) => {
    expect(() => new SoftOverlong(args)).toThrow(message);
    expect(() => new SoftOverlong(args)).toThrow(expect.objectContaining({ code: 'E_REWARD_OPTION', exitCode: 2 }));
  });
});

describe('cosine', () => {
  test('gives what ms-swift gives', () => {
    let [largest, cases, share] = [0, 0, 0];
    for (const { verdict, lengths, values: theirs, cosine_max_len, ...ends } of values.cosine) {
      const at =
        verdict === 1
          ? { atNone: ends.cosine_min_len_value_correct, atMax: ends.cosine_max_len_value_correct }
          : { atNone: ends.cosine_min_len_value_wrong, atMax: ends.cosine_max_len_value_wrong };
      const error = largestError(
        lengths.map((length) => cosineOf(length, cosine_max_len, at)),
        theirs,
      );
      largest = Math.max(largest, error);
      cases += theirs.length;
      // The two cosines may differ in the last place, and so may what is made of them.
      const bound = 4 * 2 ** -53 * (Math.abs(at.atNone) + Math.abs(at.atMax) + Math.abs(at.atNone - at.atMax));
      if (bound > 0) share = Math.max(share, error / bound);
      else expect(error).toBe(0);
    }
    console.log(
      `cosine: largest error ${largest.toExponential(2)} over ${cases} cases, ${share.toFixed(2)} of the bound`,
    );
    expect(cases).toBeGreaterThan(400);
    expect(share).toBeLessThanOrEqual(1);
  });

  test('verdict and length together; null where there is none', async () => {
    const reward = new CosineReward({ max_completion_length: 100 });
    const kwargs = rewardKwargs(4, null, {
      solution: ['4', '4', undefined, 'red'],
      completion_ids: tokens([100, 50, 10, 10]),
    });
    const answers = ['<answer>4</answer>', '<answer>5</answer>', '<answer>4</answer>', '<answer>red</answer>'];
    const [right, wrong, ...others] = await reward.call(answers, kwargs);
    expect(right).toBeCloseTo(0.5, 12);
    expect(wrong).toBeCloseTo(-0.25, 12);
    expect(others).toEqual([null, null]);
    expect(kwargs.lines).toEqual([expect.stringMatching(/^warn cosine: the solution "red" is not mathematics/)]);
  });

  test('beyond the longest length the value turns back, which is told once', async () => {
    const reward = new CosineReward({ cosine_max_len: 10 });
    const kwargs = rewardKwargs(2, null, { solution: ['4', '4'], completion_ids: tokens([20, 20]) });
    expect(await reward.call(['4', '4'], kwargs)).toEqual([-0.5, -0.5]);
    expect(kwargs.lines).toEqual([
      expect.stringMatching(/^warn cosine: a completion has 20 tokens, more than --cosine_max_len 10/),
    ]);
  });

  test('a length is needed', () => {
    expect(() => new CosineReward()).toThrow('--cosine_max_len has no value');
  });
});
