/**
 * The optimizer step on small parameters: what is clipped, decayed, skipped, and what a saved state carries on.
 */
import { describe, expect, test } from 'vitest';
import { type Parameters, parametersOf } from '../../src/engine/parameters.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createUpdater, type UpdateOptions } from '../../src/train/update.ts';
import { matricesDecay } from '../../src/train/update_options.ts';
import { elementsOf, gradientsOf } from '../helpers/parameters.ts';

const OPTIONS: UpdateOptions = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0,
  decays: matricesDecay,
  maxGradNorm: 0,
  schedule: () => 0.1,
};

function parameters(): Promise<Parameters> {
  const values = new Map([
    ['matrix', floats(Float32Array.of(1, 2, 3, 4), [2, 2])],
    ['bias', floats(Float32Array.of(5, 6), [2])],
    ['frozen', floats(Float32Array.of(7), [1])],
  ]);
  return parametersOf(values, (name) => name !== 'frozen');
}

async function setGradients({ device, gradient }: Parameters, matrix: number[], bias: number[]): Promise<void> {
  await device.write(gradient('matrix'), floats(Float32Array.from(matrix), [2, 2]));
  await device.write(gradient('bias'), floats(Float32Array.from(bias), [2]));
}

async function valuesOf(source: Parameters): Promise<number[]> {
  const values: number[] = [];
  for (const name of source.names) values.push(...(await elementsOf(source, name)));
  return values;
}

describe('update', () => {
  test('takes the norm over all trained parameters, moves them, and clears the gradients', async () => {
    const target = await parameters();
    const updater = await createUpdater(target, OPTIONS);
    await setGradients(target, [3, 0, 0, 0], [0, -4]);
    const { gradNorm, learningRate, skipped } = await updater.update();
    expect(gradNorm).toBeCloseTo(5, 12);
    expect([learningRate, skipped]).toEqual([0.1, false]);
    const expected = [0.9, 2, 3, 4, 5, 6.1, 7]; // the first step of Adam is the rate, against the gradient's sign
    (await valuesOf(target)).forEach((x, i) => {
      expect(x).toBeCloseTo(expected[i]!, 6);
    });
    for (const gradient of (await gradientsOf(target)).values()) expect(gradient.every((x) => x === 0)).toBe(true);
    await updater.release();
  });

  test('decays what the rule says; that of training names matrices and nothing else', async () => {
    const [usual, all] = [await parameters(), await parameters()];
    for (const [target, decays] of [
      [usual, matricesDecay],
      [all, () => true],
    ] as const) {
      const updater = await createUpdater(target, { ...OPTIONS, weightDecay: 0.5, decays });
      await updater.update();
      await updater.release();
    }
    const nearly = (values: number[]) => values.map((x) => Math.round(x * 1e5) / 1e5);
    expect(nearly(await valuesOf(usual))).toEqual([0.95, 1.9, 2.85, 3.8, 5, 6, 7]);
    expect(nearly(await valuesOf(all))).toEqual([0.95, 1.9, 2.85, 3.8, 4.75, 5.7, 7]);
  });

  test('clips by the norm: the second moment sees the clipped gradient', async () => {
    const target = await parameters();
    const updater = await createUpdater(target, { ...OPTIONS, maxGradNorm: 1 });
    await setGradients(target, [30, 0, 0, 0], [0, 40]);
    await updater.update();
    const { v } = updater.state().moments.get('matrix')!;
    expect((await target.device.download(v)).data[0]).toBeCloseTo(0.05 * 0.6 ** 2, 6);
    await updater.release();
  });

  test('walks the schedule from its first step', async () => {
    const updater = await createUpdater(await parameters(), { ...OPTIONS, schedule: (step) => step / 10 });
    const rates: number[] = [];
    for (let i = 0; i < 3; i++) rates.push((await updater.update()).learningRate);
    expect(rates).toEqual([0, 0.1, 0.2]);
    await updater.release();
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('skips a step whose gradient holds %d', async (bad) => {
    const target = await parameters();
    const updater = await createUpdater(target, OPTIONS);
    await setGradients(target, [1, 1, 1, 1], [1, 1]);
    await updater.update();
    const before = await valuesOf(target);
    await setGradients(target, [1, bad, 1, 1], [1, 1]);
    expect(await updater.update()).toMatchObject({ skipped: true });
    expect(await valuesOf(target)).toEqual(before);
    expect(updater.state().counts).toEqual({ steps: 2, updates: 1, skippedInARow: 1 });
    await setGradients(target, [1, 1, 1, 1], [1, 1]);
    expect(await updater.update()).toMatchObject({ skipped: false });
    expect((await valuesOf(target)).every(Number.isFinite)).toBe(true);
    expect(updater.state().counts).toEqual({ steps: 3, updates: 2, skippedInARow: 0 });
    await updater.release();
  });

  test('gives up after its patience, with the weights of the last good step', async () => {
    const target = await parameters();
    const updater = await createUpdater(target, OPTIONS);
    const before = await valuesOf(target);
    const skipped = async () => {
      await setGradients(target, [Number.NaN, 0, 0, 0], [0, 0]);
      return updater.update();
    };
    for (let step = 1; step < 5; step++) expect((await skipped()).skipped).toBe(true);
    await expect(skipped()).rejects.toMatchObject({ code: 'E_DIVERGED', exitCode: 4, where: 'step 5' });
    expect(await valuesOf(target)).toEqual(before);
    await updater.release();
  });

  test('goes on from a saved state as if it had not stopped', async () => {
    const gradients = [1, 2, 3, 4].map((k) => ({ matrix: [k, -k, 0.5, k * k], bias: [1 / k, -0.1] }));
    const options: UpdateOptions = { ...OPTIONS, weightDecay: 0.1, schedule: (step) => 0.1 / (1 + step) };
    const whole = await parameters();
    const one = await createUpdater(whole, options);
    const halved = await parameters();
    const first = await createUpdater(halved, options);
    for (const { matrix, bias } of gradients) {
      await setGradients(whole, matrix, bias);
      await one.update();
    }
    for (const { matrix, bias } of gradients.slice(0, 2)) {
      await setGradients(halved, matrix, bias);
      await first.update();
    }
    const second = await createUpdater(halved, options);
    const { counts, moments } = first.state();
    for (const [name, { m, v }] of second.state().moments) {
      await halved.device.write(m, await halved.device.download(moments.get(name)!.m));
      await halved.device.write(v, await halved.device.download(moments.get(name)!.v));
    }
    second.restoreCounts(counts);
    for (const { matrix, bias } of gradients.slice(2)) {
      await setGradients(halved, matrix, bias);
      await second.update();
    }
    expect(await valuesOf(halved)).toEqual(await valuesOf(whole));
    await Promise.all([one, first, second].map((updater) => updater.release()));
  });
});
