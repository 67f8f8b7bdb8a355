/**
 * Loss, gradient norm and every parameter's gradient of GRPO against TRL's own, through the whole model.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Group } from '../../src/engine/groups.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import type { AttentionImplementation } from '../../src/engine/text_attention.ts';
import { countStep, grpoLoss } from '../../src/grpo/loss.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import {
  type GoldenGrpo,
  goldenGroups,
  goldenLossSettings,
  loadModel,
  readJson,
  readTensors,
} from '../helpers/golden_values.ts';
import { gradientOf } from '../helpers/parameters.ts';

type Variant = Pick<GoldenGrpo['results'][number], 'loss_type' | 'importance_sampling_level' | 'beta'>;

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
  let groups: Group[] = [];
  beforeAll(async () => {
    groups = await goldenGroups(checkpoint, grpo);
  });
  const worst: Record<string, number> = {};
  const note = (kind: string, error: number): number => {
    worst[kind] = Math.max(worst[kind] ?? 0, error);
    return error;
  };
  afterAll(() => console.log(`largest errors, ${checkpoint.name}:`, worst));

  describe('all variants', () => {
    let model: VisionLanguageModel;
    beforeAll(async () => {
      model = await loadModel(checkpoint);
    });
    afterAll(() => model.release());

    test.each(grpo.results)('$loss_type $importance_sampling_level beta $beta', async (expected) => {
      const { loss, norm } = await lossAndGradients(model, groups, grpo, expected);
      expect(note('loss', Math.abs(loss - expected.loss) / (Math.abs(expected.loss) + 0.1))).toBeLessThan(1e-5);
      expect(note('gradient norm', Math.abs(norm - expected.grad_norm) / expected.grad_norm)).toBeLessThan(1e-3);
    });
  });

  const whole: [string, AttentionImplementation, boolean, boolean][] = [
    ['sdpa, recomputing, prompt shared', 'sdpa', true, true],
    ['sdpa, residuals saved, prompt shared', 'sdpa', false, true],
    ['flash, recomputing, prompt shared', 'flash_attention_2', true, true],
    ['eager, residuals saved, one completion a group', 'eager', false, false],
  ];
  test.each(whole)('every gradient: %s', async (_, attnImpl, gradientCheckpointing, shared) => {
    const model = await loadModel(checkpoint, { attnImpl, gradientCheckpointing });
    const packed = shared
      ? groups
      : groups.flatMap((group) => group.completions.map((c) => ({ ...group, completions: [c] })));
    await lossAndGradients(model, packed, grpo, { loss_type: 'grpo', importance_sampling_level: 'token', beta: 0.04 });
    const expected = readTensors(join(checkpoint.golden, 'gradients.safetensors'));
    expect([...expected.keys()].sort()).toEqual([...model.parameters.trained].sort());
    for (const [name, { data }] of expected) {
      const largest = data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      const error = largestDifference(await gradientOf(model.parameters, name), data) / largest;
      expect(note('gradient', error), name).toBeLessThan(1e-3);
    }
    await model.release();
  });
});

async function lossAndGradients(
  model: VisionLanguageModel,
  groups: readonly Group[],
  grpo: GoldenGrpo,
  variant: Variant,
) {
  const { groups: scored, tape } = await model.score(groups, { temperature: 1, keep: true });
  const logps = scored.flatMap(({ completions }) => completions.map(({ logps }) => logps));
  const counts = countStep([logps.map((row) => row.length)]);
  const { loss, dLogps } = grpoLoss(
    {
      logps,
      oldLogps: grpo.old_per_token_logps.map((row) => Float64Array.from(row)),
      refLogps: variant.beta === 0 ? null : grpo.ref_per_token_logps.map((row) => Float64Array.from(row)),
      advantages: Float64Array.from(grpo.advantages),
    },
    {
      lossType: variant.loss_type,
      importanceSamplingLevel: variant.importance_sampling_level,
      beta: variant.beta,
      ...goldenLossSettings(grpo),
    },
    counts,
  );
  await model.parameters.zeroGradients();
  await model.backward(tape!, Float32Array.from(dLogps.flatMap((row) => [...row])));
  let squares = 0;
  for (const name of model.parameters.trained) {
    for (const x of await gradientOf(model.parameters, name)) squares += x * x;
  }
  return { loss, norm: Math.sqrt(squares) };
}
