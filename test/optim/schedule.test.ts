import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { createSchedule, type LrSchedulerType, type ScheduleOptions, warmupStepsOf } from '../../src/optim/schedule.ts';

/**
 * The factor of update `step` written down from transformers optimization.py, one function as there:
 * `w` warm-up steps of `n`, `cycles` waves, floor `rate`.
 */
const reference: Record<LrSchedulerType, (step: number, w: number, n: number, cycles: number, rate: number) => number> =
  {
    constant: () => 1,
    constant_with_warmup: (step, w) => (step < w ? step / Math.max(1, w) : 1),
    linear: (step, w, n) => (step < w ? step / Math.max(1, w) : Math.max(0, (n - step) / Math.max(1, n - w))),
    cosine: (step, w, n, cycles) => {
      if (step < w) return step / Math.max(1, w);
      const progress = (step - w) / Math.max(1, n - w);
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress)));
    },
    cosine_with_min_lr: (step, w, n, cycles, rate) => {
      if (step < w) return step / Math.max(1, w);
      const progress = (step - w) / Math.max(1, n - w);
      const factor = 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress));
      return Math.max(0, factor * (1 - rate) + rate);
    },
  };
const lr = 3e-5;

describe('createSchedule', () => {
  for (const type of Object.keys(reference) as LrSchedulerType[]) {
    test(`${type} equals transformers at every step`, () => {
      let largest = 0;
      for (const [warmupSteps, totalSteps] of [
        [0, 1],
        [0, 40],
        [5, 40],
        [40, 40],
        [50, 40],
      ] as const) {
        for (const cycles of type.startsWith('cosine') ? [0.5, 1.5] : [0.5]) {
          const kwargs: Record<string, unknown> = type.startsWith('cosine') ? { num_cycles: cycles } : {};
          if (type === 'cosine_with_min_lr') kwargs.min_lr_rate = 0.1;
          const schedule = createSchedule({ type, learningRate: lr, totalSteps, warmupSteps, kwargs });
          for (let step = 0; step <= totalSteps + 3; step++) {
            const expected = lr * reference[type](step, warmupSteps, totalSteps, cycles, 0.1);
            largest = Math.max(largest, Math.abs(schedule(step) - expected));
          }
        }
      }
      expect(largest).toBeLessThan(1e-18);
    });
  }

  test('known points', () => {
    const at = (over: Partial<ScheduleOptions>): ReturnType<typeof createSchedule> =>
      createSchedule({ type: 'cosine', learningRate: 1, totalSteps: 10, warmupSteps: 0, ...over });
    expect(at({})(0)).toBe(1);
    expect(at({})(5)).toBeCloseTo(0.5, 15);
    expect(at({})(10)).toBe(0);
    expect(at({ type: 'linear', warmupSteps: 2 })(1)).toBe(0.5);
    expect(at({ type: 'linear', warmupSteps: 2 })(6)).toBe(0.5);
    expect(at({ type: 'constant', warmupSteps: 4 })(0)).toBe(1);
  });

  test('min_lr is an absolute rate', () => {
    const schedule = createSchedule({
      type: 'cosine_with_min_lr',
      learningRate: 1e-3,
      totalSteps: 10,
      warmupSteps: 0,
      kwargs: { min_lr: 1e-4, min_lr_rate: null },
    });
    expect(schedule(10)).toBeCloseTo(1e-4, 18);
  });

  test.each<[LrSchedulerType, Record<string, unknown>, string]>([
    ['cosine_with_min_lr', {}, 'got neither'],
    ['cosine_with_min_lr', { min_lr: 1e-6, min_lr_rate: 0.1 }, 'got both'],
    ['linear', { num_cycles: 2 }, 'linear has no setting "num_cycles"'],
    ['cosine', { num_cycles: 'two' }, '"num_cycles" is "two", expected a number'],
  ])('refuses %s with %j', (type, kwargs, message) => {
    const act = (): unknown => createSchedule({ type, learningRate: lr, totalSteps: 10, warmupSteps: 0, kwargs });
    expect(act).toThrow(SightlineError);
    expect(act).toThrow(message);
  });
});

test('warm-up steps win over the ratio, which is rounded up', () => {
  expect(warmupStepsOf(40, { warmupSteps: 0, warmupRatio: 0.05 })).toBe(2);
  expect(warmupStepsOf(41, { warmupSteps: 0, warmupRatio: 0.05 })).toBe(3);
  expect(warmupStepsOf(40, { warmupSteps: 7, warmupRatio: 0.5 })).toBe(7);
  expect(warmupStepsOf(40, { warmupSteps: 0, warmupRatio: 0 })).toBe(0);
});
