/**
 * A step of GRPO on the graphics processor and on the CPU: log-probabilities, loss, gradients, parameters after the update, whole
 * tensors. The CPU's own values are compared with the references elsewhere.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Group } from '../../src/engine/groups.ts';
import { countStep, grpoLoss } from '../../src/grpo/loss.ts';
import { createAdamW } from '../../src/optim/adamw.ts';
import type { AdamWParameter } from '../../src/optim/adamw_rates.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Device } from '../../src/runtime/device.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { largestDifference } from '../helpers/check_op.ts';
import type { GoldenCheckpoint } from '../helpers/golden.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { type GoldenGrpo, goldenGroups, goldenLossSettings, loadModel, readJson } from '../helpers/golden_values.ts';
import { elementsOf, gradientsOf } from '../helpers/parameters.ts';

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  test('a step agrees with the CPU’s', async ({ annotate }) => {
    const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
    const groups = await goldenGroups(checkpoint, grpo);
    const [here, there] = [
      await step(cpu, checkpoint, groups, grpo),
      await step(await openWebgpu(), checkpoint, groups, grpo),
    ];
    const worst: Record<string, number> = {};
    const note = (kind: string, error: number): number => {
      worst[kind] = Math.max(worst[kind] ?? 0, error);
      return error;
    };
    // The bounds of the golden tests on the CPU.
    expect(note('log-probability', largestDifference(there.logps, here.logps))).toBeLessThan(1e-4);
    expect(note('loss', Math.abs(there.loss - here.loss) / (Math.abs(here.loss) + 0.1))).toBeLessThan(1e-5);
    for (const [name, gradient] of here.gradients) {
      const largest = gradient.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      const error = largestDifference(there.gradients.get(name)!, gradient) / largest;
      expect(note('gradient, relative', error), name).toBeLessThan(1e-3);
    }
    // The first step of AdamW moves every element by the learning rate at most, whichever the size of its gradient.
    for (const [name, values] of here.parameters)
      expect(note('parameter', largestDifference(there.parameters.get(name)!, values)), name).toBeLessThan(
        2 * LEARNING_RATE,
      );
    await annotate(`largest errors: ${JSON.stringify(worst)}`);
  });
});

const LEARNING_RATE = 1e-5;

async function step(device: Device, checkpoint: GoldenCheckpoint, groups: readonly Group[], grpo: GoldenGrpo) {
  const model = await loadModel(checkpoint, { device });
  const adamw = await createAdamW({ beta1: 0.9, beta2: 0.95, epsilon: 1e-8 }, device);
  const { parameters } = model;
  const { groups: scored, tape } = await model.score(groups, { temperature: 1, keep: true });
  const logps = scored.flatMap(({ completions }) => completions.map(({ logps: row }) => row));
  const { loss, dLogps } = grpoLoss(
    {
      logps,
      oldLogps: grpo.old_per_token_logps.map((row) => Float64Array.from(row)),
      refLogps: grpo.ref_per_token_logps.map((row) => Float64Array.from(row)),
      advantages: Float64Array.from(grpo.advantages),
    },
    { lossType: 'grpo', importanceSamplingLevel: 'token', beta: 0.04, ...goldenLossSettings(grpo) },
    countStep([logps.map((row) => row.length)]),
  );
  await model.backward(tape!, Float32Array.from(dLogps.flatMap((row) => [...row])));
  const gradients = await gradientsOf(parameters);
  const updated: AdamWParameter[] = [];
  for (const name of parameters.trained) {
    const [value, grad] = [parameters.value(name), parameters.gradient(name)];
    const [m, v] = [await device.allocate('float32', value.dims), await device.allocate('float32', value.dims)];
    updated.push({ value, grad, m, v, learningRate: LEARNING_RATE, weightDecay: 0 });
  }
  await adamw.update(updated, { step: 1, gradScale: 1 });
  const values = new Map<string, Float32Array>();
  for (const name of parameters.trained) values.set(name, (await elementsOf(parameters, name)).slice());
  await Promise.all([model.release(), adamw.release()]);
  return { logps: logps.flatMap((row) => [...row]), loss, gradients, parameters: values };
}
