/**
 * Two optimizer steps on TRL's GRPO loss, through model, clipping and AdamW, against torch's parameters.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Group } from '../../src/engine/groups.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import { tokenKl } from '../../src/grpo/kl.ts';
import { countStep, grpoLoss } from '../../src/grpo/loss.ts';
import { createUpdater, type Updater } from '../../src/train/update.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import {
  type GoldenGrpo,
  goldenGroups,
  goldenLossSettings,
  loadModel,
  readJson,
  readTensors,
} from '../helpers/golden_values.ts';
import { elementsOf } from '../helpers/parameters.ts';

interface GoldenAdamW {
  readonly optimizer: {
    readonly lr: number;
    readonly betas: readonly [number, number];
    readonly eps: number;
    readonly weight_decay: number;
    readonly max_grad_norm: number;
  };
  readonly steps: readonly { readonly loss: number; readonly grad_norm: number }[];
}

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
  const { optimizer, steps } = readJson<GoldenAdamW>(join(checkpoint.golden, 'adamw.json'));
  let groups: Group[] = [];
  let model: VisionLanguageModel;
  let updater: Updater;
  beforeAll(async () => {
    groups = await goldenGroups(checkpoint, grpo);
    model = await loadModel(checkpoint);
    updater = await createUpdater(model.parameters, {
      beta1: optimizer.betas[0],
      beta2: optimizer.betas[1],
      epsilon: optimizer.eps,
      weightDecay: optimizer.weight_decay,
      maxGradNorm: optimizer.max_grad_norm,
      schedule: () => optimizer.lr,
      decays: () => true,
    });
  });
  afterAll(async () => {
    await Promise.all([updater.release(), model.release()]);
  });

  test('losses, gradient norms and parameters after two steps', async () => {
    const worst = { loss: 0, gradNorm: 0, parameters: 0 };
    for (const expected of steps) {
      const loss = await lossAndGradients(model, groups, grpo);
      const { gradNorm, skipped } = await updater.update();
      worst.loss = Math.max(worst.loss, Math.abs(loss - expected.loss));
      worst.gradNorm = Math.max(worst.gradNorm, Math.abs(gradNorm / expected.grad_norm - 1));
      expect(skipped).toBe(false);
    }
    const after = readTensors(join(checkpoint.golden, 'after_two_adamw_steps.safetensors'));
    const firstGradients = readTensors(join(checkpoint.golden, 'gradients.safetensors'));
    expect(after.size).toBeGreaterThan(20);
    let [elements, undetermined] = [0, 0];
    for (const [name, { data }] of after) {
      const value = await elementsOf(model.parameters, name);
      const isRounding = roundingOnly(firstGradients.get(name)!.data as Float32Array);
      elements += data.length;
      let largest = 0;
      for (let i = 0; i < data.length; i++) {
        const error = Math.abs(value[i]! - data[i]!);
        // Two steps of full length, each the wrong way round.
        if (isRounding(i) && error >= 1e-4 && error < 4 * optimizer.lr) undetermined++;
        else largest = Math.max(largest, error);
      }
      worst.parameters = Math.max(worst.parameters, largest);
      expect(largest, name).toBeLessThan(1e-4);
    }
    expect(undetermined).toBeLessThan(elements / 1e4);
    console.log(`largest errors of two AdamW steps, ${checkpoint.name} (${after.size} tensors):`, worst);
    expect(worst.loss).toBeLessThan(1e-4);
    expect(worst.gradNorm).toBeLessThan(1e-3);
  });
});

/**
 * AdamW's first update is lr · g / (|g| + eps): where a gradient is nothing but rounding, its sign decides, and processors
 * disagree on it. Gradients agree with the reference's to 7e-6 of a tensor's largest (test/engine/gradients.golden.test.ts), so
 * one below 1e-5 of it may have either sign.
 */
function roundingOnly(gradient: Float32Array): (i: number) => boolean {
  const largest = gradient.reduce((max, g) => Math.max(max, Math.abs(g)), 0);
  return (i) => gradient[i] !== 0 && Math.abs(gradient[i]!) < 1e-5 * largest;
}

/** The loss of grpo.json, variant grpo/token/beta 0.04; gradients land in the parameters' accumulators. */
async function lossAndGradients(
  model: VisionLanguageModel,
  groups: readonly Group[],
  grpo: GoldenGrpo,
): Promise<number> {
  const { groups: scored, tape } = await model.score(groups, { temperature: 1, keep: true });
  const logps = scored.flatMap(({ completions }) => completions.map(({ logps }) => logps));
  const beta = 0.04;
  const result = grpoLoss(
    {
      logps,
      oldLogps: grpo.old_per_token_logps.map((row) => Float64Array.from(row)),
      refLogps: grpo.ref_per_token_logps.map((row) => Float64Array.from(row)),
      advantages: Float64Array.from(grpo.advantages),
    },
    {
      lossType: 'grpo',
      importanceSamplingLevel: 'token',
      beta,
      ...goldenLossSettings(grpo),
    },
    countStep([logps.map((row) => row.length)]),
  );
  let { loss } = result;
  // After the first step some tokens are beyond the limits of kl.ts, which TRL does not have: what they hold back.
  const dLogps = result.dLogps.map((row, i) => {
    const weight = beta / (row.length * logps.length);
    return row.map((d, t) => {
      const logRatio = grpo.ref_per_token_logps[i]![t]! - logps[i]![t]!;
      const limited = tokenKl(logps[i]![t]!, grpo.ref_per_token_logps[i]![t]!);
      loss += weight * (Math.exp(logRatio) - logRatio - 1 - limited.value);
      return d + weight * (1 - Math.exp(logRatio) - limited.gradient);
    });
  });
  await model.backward(tape!, Float32Array.from(dLogps.flatMap((row) => [...row])));
  return loss;
}
