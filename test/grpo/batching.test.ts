import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type BatchOptions,
  type BatchPlan,
  type GeometryFault,
  oldLogpsNeeded,
  optimizerStepAt,
  planBatches,
  rolloutSizes,
} from '../../src/grpo/batching.ts';

const base = {
  perDeviceTrainBatchSize: 8,
  gradientAccumulationSteps: 2,
  generationBatchSize: null,
  stepsPerGeneration: null,
  numGenerations: 8,
  numIterations: 1,
};

/** The plan of sizes as they are asked for, which must fit together. */
function planOf(changes: Partial<BatchOptions> & { numIterations?: number } = {}): BatchPlan {
  const options = { ...base, ...changes };
  const { fault, ...sizes } = rolloutSizes(options);
  expect(fault).toBeNull();
  return planBatches({ ...options, ...sizes });
}

describe('planBatches', () => {
  test('one rollout per optimizer step by default', () => {
    expect(planOf()).toEqual({
      microBatchSize: 8,
      microBatchesPerStep: 2,
      completionsPerStep: 16,
      microBatchesPerRollout: 2,
      generationBatchSize: 16,
      promptsPerRollout: 2,
      numGenerations: 8,
      numIterations: 1,
      notice: null,
    });
  });

  test('generation_batch_size and steps_per_generation say the same in two ways', () => {
    const bySize = planOf({ generationBatchSize: 32 });
    expect(bySize).toEqual(planOf({ stepsPerGeneration: 4 }));
    expect(bySize).toEqual(planOf({ generationBatchSize: 32, stepsPerGeneration: 4 }));
    expect(bySize.promptsPerRollout).toBe(4);
    expect(oldLogpsNeeded(bySize, 1).some(Boolean)).toBe(true);
  });

  test('says what happens when a micro-batch is smaller than a group', () => {
    const plan = planOf({ perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 4 });
    expect(plan.promptsPerRollout).toBe(2);
    expect(plan.notice).toContain('per_device_train_batch_size 4 is not a multiple of num_generations 8');
  });

  test.each<[string, Partial<BatchOptions>, GeometryFault]>([
    [
      'rollout not made of groups',
      { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1 },
      {
        flag: 'num_generations',
        message:
          '1 completions are sampled at once (--per_device_train_batch_size 1 x --steps_per_generation 1), which is not a multiple of 8',
        fix: 'for one prompt at a time, set --per_device_train_batch_size 8',
      },
    ],
    [
      'rollout not made of micro-batches',
      { generationBatchSize: 12 },
      { flag: 'generation_batch_size', message: '12 is not a multiple of --per_device_train_batch_size 8' },
    ],
    [
      'contradiction',
      { generationBatchSize: 16, stepsPerGeneration: 4 },
      {
        flag: 'generation_batch_size',
        message: '16 is not --per_device_train_batch_size 8 x --steps_per_generation 4',
        fix: 'give one of the two flags',
      },
    ],
    [
      'a rollout without end',
      { perDeviceTrainBatchSize: 65536 },
      {
        flag: 'generation_batch_size',
        message:
          '131072 completions are sampled at once (--per_device_train_batch_size 65536 x --steps_per_generation 2), expected at most 65536',
        fix: 'lower one of the two',
      },
    ],
  ])('refuses: %s', (_title, over, fault) => {
    expect(rolloutSizes({ ...base, ...over }).fault).toEqual(fault);
  });
});

describe('optimizerStepAt', () => {
  test('walks a rollout num_iterations times, slice by slice', () => {
    const plan = planOf({ numIterations: 2 });
    const steps = [0, 1, 2, 3].map((step) => optimizerStepAt(plan, step));
    const told = steps.map((step) => step.map((m) => [m.rollout, m.slice, m.onPolicy]));
    expect(told).toEqual([
      [
        [0, 0, true],
        [0, 1, true],
      ],
      [
        [0, 0, false],
        [0, 1, false],
      ],
      [
        [1, 0, true],
        [1, 1, true],
      ],
      [
        [1, 0, false],
        [1, 1, false],
      ],
    ]);
    expect(oldLogpsNeeded(plan, 0)).toEqual([true, true]);
  });

  test('a rollout longer than a step is on-policy only in its first step', () => {
    const plan = planOf({ stepsPerGeneration: 4 });
    expect([0, 1].flatMap((step) => optimizerStepAt(plan, step)).map((m) => m.onPolicy)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(oldLogpsNeeded(plan, 0)).toEqual([false, false, true, true]);
  });

  test('a step longer than a rollout takes several rollouts and stays on-policy', () => {
    const plan = planOf({ gradientAccumulationSteps: 4, stepsPerGeneration: 2 });
    expect(optimizerStepAt(plan, 1).map((m) => m.rollout)).toEqual([2, 2, 3, 3]);
    expect(oldLogpsNeeded(plan, 1)).toEqual([false, false]);
  });

  test('keeps groups whole where a micro-batch holds them, and names the cuts where not', () => {
    const whole = planOf({ perDeviceTrainBatchSize: 16 });
    expect(optimizerStepAt(whole, 0)[1]!.runs).toEqual([
      { group: 2, begin: 16, end: 24 },
      { group: 3, begin: 24, end: 32 },
    ]);
    const cut = planOf({ perDeviceTrainBatchSize: 12 });
    expect(optimizerStepAt(cut, 0).map((m) => m.runs)).toEqual([
      [
        { group: 0, begin: 0, end: 8 },
        { group: 1, begin: 8, end: 12 },
      ],
      [
        { group: 1, begin: 12, end: 16 },
        { group: 2, begin: 16, end: 24 },
      ],
    ]);
  });

  test('any plan uses each completion of a rollout num_iterations times, and agrees with itself on policy', () => {
    const size = fc.integer({ min: 1, max: 6 });
    fc.assert(
      fc.property(size, size, size, size, size, (batch, accumulation, slices, iterations, rollout) => {
        const plan = planOf({
          perDeviceTrainBatchSize: batch * 2,
          gradientAccumulationSteps: accumulation,
          stepsPerGeneration: slices,
          numGenerations: 2,
          numIterations: iterations,
        });
        const uses = slices * iterations;
        // Every optimizer step that takes something of the rollout, each micro-batch with the number of its step.
        const first = Math.floor((rollout * uses) / accumulation);
        const last = Math.floor(((rollout + 1) * uses - 1) / accumulation);
        const steps = Array.from({ length: last - first + 1 }, (_, i) => first + i);
        const walked = steps
          .flatMap((step) => optimizerStepAt(plan, step).map((m) => ({ ...m, step })))
          .filter((m) => m.rollout === rollout);
        expect(walked).toHaveLength(uses);
        const seen = new Array<number>(plan.generationBatchSize).fill(0);
        for (const { runs } of walked)
          for (const { begin, end } of runs) for (let i = begin; i < end; i++) seen[i]! += 1;
        expect(seen).toEqual(new Array(plan.generationBatchSize).fill(iterations));
        expect(walked[0]!.onPolicy).toBe(true);
        // No update lies between sampling and use within the first of the steps.
        for (const m of walked) expect(m.onPolicy).toBe(m.step === first);
        // Steps that end with a rollout and its iterations never learn from what older weights have sampled.
        const { microBatchesPerStep, microBatchesPerRollout, numIterations } = plan;
        const alwaysOnPolicy = microBatchesPerStep % (microBatchesPerRollout * numIterations) === 0;
        if (alwaysOnPolicy) expect(walked.every((m) => m.onPolicy)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
