import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { type BatchOptions, oldLogpsNeeded, optimizerStepAt, planBatches } from '../../src/grpo/batching.ts';

const base: BatchOptions = {
  perDeviceTrainBatchSize: 8,
  gradientAccumulationSteps: 2,
  generationBatchSize: null,
  stepsPerGeneration: null,
  numGenerations: 8,
  numIterations: 1,
};

describe('planBatches', () => {
  test('one rollout per optimizer step by default', () => {
    expect(planBatches(base)).toEqual({
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
    const bySize = planBatches({ ...base, generationBatchSize: 32 });
    expect(bySize).toEqual(planBatches({ ...base, stepsPerGeneration: 4 }));
    expect(bySize).toEqual(planBatches({ ...base, generationBatchSize: 32, stepsPerGeneration: 4 }));
    expect(bySize.promptsPerRollout).toBe(4);
    expect(oldLogpsNeeded(bySize, 1).some(Boolean)).toBe(true);
  });

  test('says what happens when a micro-batch is smaller than a group', () => {
    const plan = planBatches({ ...base, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 4 });
    expect(plan.promptsPerRollout).toBe(2);
    expect(plan.notice).toContain('per_device_train_batch_size 4 is not a multiple of num_generations 8');
  });

  test.each<[string, Partial<BatchOptions>, string]>([
    ['rollout not made of groups', { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1 }, 'rollout of 1 '],
    ['group of one', { numGenerations: 1 }, 'num_generations is 1, expected at least 2'],
    ['fraction', { perDeviceTrainBatchSize: 1.5 }, 'per_device_train_batch_size is 1.5'],
    ['zero', { gradientAccumulationSteps: 0 }, 'gradient_accumulation_steps is 0'],
    ['no iterations', { numIterations: 0 }, 'num_iterations is 0'],
    ['rollout not made of micro-batches', { generationBatchSize: 12 }, 'expected a multiple of per_device'],
    ['contradiction', { generationBatchSize: 16, stepsPerGeneration: 4 }, 'generation_batch_size is 16, but'],
    ['a group without end', { numGenerations: 1e9 }, 'num_generations is 1000000000, expected at most 65536'],
    ['steps without end', { gradientAccumulationSteps: 1e9 }, 'gradient_accumulation_steps is 1000000000'],
    ['passes without end', { numIterations: 1e9 }, 'num_iterations is 1000000000, expected at most'],
    ['a rollout without end', { perDeviceTrainBatchSize: 65536 }, 'a rollout has 131072 completions'],
    ['no slices', { stepsPerGeneration: 0 }, 'steps_per_generation is 0'],
  ])('refuses: %s', (_title, over, message) => {
    const act = (): unknown => planBatches({ ...base, ...over });
    expect(act).toThrow(SightlineError);
    expect(act).toThrow(message);
  });

  test('the hint names sizes that work', () => {
    const hintOf = (over: Partial<BatchOptions>): string => {
      try {
        planBatches({ ...base, ...over });
      } catch (error) {
        if (error instanceof SightlineError) return error.hint ?? '';
        throw error;
      }
      return 'nothing thrown';
    };
    expect(hintOf({ perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1 })).toBe(
      'use a multiple of 8 as per_device_train_batch_size',
    );
    expect(hintOf({ perDeviceTrainBatchSize: 3, gradientAccumulationSteps: 4 })).toBe(
      'use a multiple of 2 as per_device_train_batch_size, or one of 2, 3, 4, 6, 12 as num_generations',
    );
  });
});

describe('optimizerStepAt', () => {
  test('walks a rollout num_iterations times, slice by slice', () => {
    const plan = planBatches({ ...base, numIterations: 2 });
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
    const plan = planBatches({ ...base, stepsPerGeneration: 4 });
    expect([0, 1].flatMap((step) => optimizerStepAt(plan, step)).map((m) => m.onPolicy)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(oldLogpsNeeded(plan, 0)).toEqual([false, false, true, true]);
  });

  test('a step longer than a rollout takes several rollouts and stays on-policy', () => {
    const plan = planBatches({ ...base, gradientAccumulationSteps: 4, stepsPerGeneration: 2 });
    expect(optimizerStepAt(plan, 1).map((m) => m.rollout)).toEqual([2, 2, 3, 3]);
    expect(oldLogpsNeeded(plan, 1)).toEqual([false, false]);
  });

  test('keeps groups whole where a micro-batch holds them, and names the cuts where not', () => {
    const whole = planBatches({ ...base, perDeviceTrainBatchSize: 16 });
    expect(optimizerStepAt(whole, 0)[1]!.runs).toEqual([
      { group: 2, begin: 16, end: 24 },
      { group: 3, begin: 24, end: 32 },
    ]);
    const cut = planBatches({ ...base, perDeviceTrainBatchSize: 12 });
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
        const plan = planBatches({
          perDeviceTrainBatchSize: batch * 2,
          gradientAccumulationSteps: accumulation,
          generationBatchSize: null,
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
