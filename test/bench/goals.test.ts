import { describe, expect, test } from 'vitest';
import {
  attentionOverhead,
  floorTime,
  GOALS,
  isMet,
  type Results,
  resultsOf,
  type StepSample,
  type StepSeries,
  type StepWork,
  stepTime,
  toJson,
  trainRatio,
  type Variant,
  type VariantSample,
} from '../../bench/goals.ts';
import { median } from '../../bench/statistics.ts';

const KEYS = [
  'train_flops_ratio',
  'decode_stream_ratio',
  'attention_overhead',
  'long_prompt_ratio',
  'step_over_floor',
  'scoring_memory_ratio',
  'startup_s',
];

const work: StepWork = {
  visionFlop: 100,
  prefillFlop: 100,
  decodeFlop: 300,
  forwardFlop: 400,
  backwardFlop: 800,
  recomputedFlop: { recompute: 300, residuals: 50, recorded: 300, 'recorded residuals': 50 },
  decodeBytes: 20,
  decodeSteps: 10,
  optimiserBytes: 40,
};

const recompute: VariantSample = {
  rollout: 60,
  prefill: 18,
  decode: 40,
  decodeSteps: 10,
  forward: 50,
  reward: 2,
  backward: 100,
};

const sample: StepSample = {
  vision: 10,
  optimiser: 8,
  variants: {
    recompute,
    residuals: { ...recompute, forward: 60, backward: 70 },
    recorded: { ...recompute, rollout: 66, forward: 0 },
    'recorded residuals': { ...recompute, rollout: 70, forward: 0, backward: 75 },
  },
  attention: { rollout: 60, forward: 55, reward: 6.5 },
  sgemmRate: 20,
  streamRate: 10,
};

const series = (times: number): StepSeries => ({
  visualTokens: 64,
  variant: 'recompute',
  work,
  samples: [1, 2, 3].map((factor) => ({ ...sample, vision: 10 + 230 * (times * factor - 1) })),
});

test('a step is the sum of its parts, the floor what it cannot do without', () => {
  expect(stepTime(sample, 'recompute')).toBe(10 + 60 + 50 + 2 + 100 + 8);
  expect(stepTime(sample, 'recorded')).toBe(10 + 66 + 2 + 100 + 8);
  expect(floorTime(sample, work, 'recompute')).toBe((100 + 400 + 800) / 20 + (20 * 10 + 40) / 10);
  expect(floorTime(sample, work, 'recorded')).toBe((100 + 100 + 800) / 20 + (20 * 10 + 40) / 10);
});

test('ratios of one repetition', () => {
  expect(trainRatio(sample, work, 'recompute')).toBeCloseTo(1500 / 150 / 20, 12);
  expect(trainRatio(sample, work, 'residuals')).toBeCloseTo(1250 / 130 / 20, 12);
  expect(attentionOverhead(sample, 'recompute')).toBeCloseTo((5 + 4.5) / 230, 12);
});

describe('the results', () => {
  const memory = [1, 2, 3].map((factor) => ({ short: 100 * factor, long: 410 * factor }));
  const results = resultsOf(series(1), series(1.5), memory, [{ seconds: 3 }, { seconds: 9 }, { seconds: 4 }]);

  test('have every key of the table, and goals have no other', () => {
    expect(Object.keys(results)).toEqual(KEYS);
    expect(Object.keys(GOALS)).toEqual(KEYS);
  });

  test('are medians of ratios, the worse prompt length counts', () => {
    expect(results.train_flops_ratio).toBeCloseTo(0.5, 12);
    expect(results.decode_stream_ratio).toBeCloseTo((20 * 10) / 40 / 10, 12);
    expect(results.long_prompt_ratio).toBeCloseTo(1.5, 12);
    expect(results.step_over_floor).toBeCloseTo((230 * 1.5 * 2) / 89, 12);
    expect(results.attention_overhead).toBeCloseTo(9.5 / 460, 12);
    expect(results.scoring_memory_ratio).toBeCloseTo(4.1, 12);
    expect(results.startup_s).toBe(4);
  });

  test('a recorded step trains like the one with a forward whose backward starts from the same', () => {
    const trained = (variant: Variant): number => {
      const other = { ...series(1), variant };
      return resultsOf(other, other, memory, [{ seconds: 3 }]).train_flops_ratio;
    };
    expect(trained('recorded')).toBeCloseTo(1500 / 150 / 20, 12);
    expect(trained('recorded residuals')).toBeCloseTo(1250 / 130 / 20, 12);
  });

  test('are printed as one JSON object of numbers', () => {
    const printed: unknown = JSON.parse(toJson({ ...results, long_prompt_ratio: 1.234567 }));
    expect(Object.keys(printed as Results)).toEqual(KEYS);
    expect(Object.values(printed as Results).every(Number.isFinite)).toBe(true);
    expect(printed).toMatchObject({ long_prompt_ratio: 1.235, startup_s: 4 });
  });

  test('meet their goals from the right side', () => {
    expect([0.75, 0.7499].map((ratio) => isMet('train_flops_ratio', ratio))).toEqual([true, false]);
    expect([1.6, 1.6001].map((ratio) => isMet('long_prompt_ratio', ratio))).toEqual([true, false]);
  });
});

test('the median of odd and even counts', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(() => median([])).toThrow('nothing');
});
