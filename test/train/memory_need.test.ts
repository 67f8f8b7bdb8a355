/** The estimate of the forward under changed images, against sums worked out here. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { planBatches } from '../../src/grpo/batching.ts';
import type { RolloutPrompt } from '../../src/grpo/rollout.ts';
import { type MemoryPart, totalOf } from '../../src/train/memory_need.ts';
import { type PreparedPolicy, preparePolicy } from '../../src/train/policy.ts';
import { rlhfMemory } from '../../src/train/run_memory.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();
let policy: PreparedPolicy;
beforeAll(async () => {
  const { model } = await tinyProject(root, 1);
  policy = await preparePolicy({ model, attnImpl: 'sdpa', trainable: true });
});
afterAll(() => policy.close());

/** Two prompts of 100 tokens, one of which is learned from at a time or both, with an image of 4 x 6 patches each. */
function parts(microBatches: number, changesImages: boolean): MemoryPart[] {
  const sizes = { numGenerations: 8, maxCompletionLength: 50, gradientCheckpointing: true };
  const plan = planBatches({
    ...{ perDeviceTrainBatchSize: 16 / microBatches, gradientAccumulationSteps: microBatches, numGenerations: 8 },
    ...{ numIterations: 1, generationBatchSize: 16, stepsPerGeneration: microBatches },
  });
  const first = { ids: new Int32Array(100), images: [{ gridThw: [1, 4, 6] }] } as unknown as RolloutPrompt;
  return rlhfMemory(sizes, plan, { policy, reference: null, first, changesImages });
}
const likely = (all: readonly MemoryPart[], what: RegExp): number =>
  totalOf(all.filter((part) => what.test(part.what))).likely;

test('changed images: 3 bytes a pixel, and visual tokens of every prompt', () => {
  const { patchSize, spatialMergeSize, outHiddenSize } = policy.modelConfig.vision;
  const patches = 2 * 4 * 6;
  expect(likely(parts(1, true), /^changed images$/)).toBe(
    3 * patchSize ** 2 * patches + (4 * outHiddenSize * patches) / spatialMergeSize ** 2,
  );
});

test('the rows of its forward count as far as learning takes less at once', () => {
  const beyond = (microBatches: number): number => likely(parts(microBatches, true), /beyond those of learning/);
  expect(beyond(1)).toBe(0);
  const eighth = beyond(8);
  expect(eighth).toBeGreaterThan(0);
  // Every row of the rollout takes the same.
  const learning = (microBatches: number): number => likely(parts(microBatches, false), /rows for backward/);
  const rows = eighth + learning(8);
  expect(beyond(4)).toBeCloseTo(Math.max(0, rows - learning(4)), 3);
});

test('without a comparison nothing is added', () => {
  expect(
    parts(8, false)
      .map(({ what }) => what)
      .filter((what) => /changed/.test(what)),
  ).toEqual([]);
});
