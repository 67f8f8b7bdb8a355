/**
 * The optimizer in the memory of a graphics processor, compared with the CPU's: updates, norm and clipping, a reference that
 * follows, what crosses, and the files of checkpoints.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Parameters, parametersOf } from '../../src/engine/parameters.ts';
import { readConfig } from '../../src/models/registry.ts';
import { createAdamW } from '../../src/optim/adamw.ts';
import type { AdamWParameter } from '../../src/optim/adamw_rates.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { type Device, isHere } from '../../src/runtime/device.ts';
import { type FloatTensor, floats, sizeOf, type Tensor } from '../../src/runtime/tensor.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { createCheckpoints } from '../../src/train/checkpoints.ts';
import { createMovingReference } from '../../src/train/moving_reference.ts';
import { openPolicy, type Policy } from '../../src/train/policy.ts';
import { restorePolicy } from '../../src/train/resume/restore.ts';
import { createUpdater, type UpdateOptions, type Updater } from '../../src/train/update.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { elementsOf, gradientsOf } from '../helpers/parameters.ts';
import { ROUNDING, sumError } from '../helpers/rounding.ts';

const OPTIONS: UpdateOptions = {
  ...{ beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 },
  decays: (_, { length }) => length > 1,
  schedule: (step) => 1e-3 / (step + 1),
};

/** Sizes of trained tensors: kernels write four elements at once, blocks of sums have 1024. */
const SIZES: Readonly<Record<string, readonly number[]>> = {
  one: [1],
  bias: [7],
  matrix: [300, 257],
  long: [3, 2 ** 17 + 1],
};

let webgpu: Device;
beforeAll(async () => {
  webgpu = await openWebgpu();
});

const drawn = (dims: readonly number[], seed: number, scale = 1): FloatTensor => {
  const random = createRandom(seed);
  return floats(
    Float32Array.from({ length: sizeOf(dims) }, () => scale * random.normal()),
    dims,
  );
};

const parametersOn = (device: Device, sizes = SIZES): Promise<Parameters> =>
  parametersOf(new Map(Object.entries(sizes).map(([name, dims], i) => [name, drawn(dims, i)])), () => true, { device });

async function setGradients({ device, trained, gradient, shape }: Parameters, seed: number): Promise<void> {
  for (const [i, name] of trained.entries())
    await device.write(gradient(name), drawn(shape(name), 100 * seed + i, 0.1));
}

/** Largest difference relative to the largest element. */
const relativeError = (got: Float32Array, expected: Float32Array): number =>
  largestDifference(got, expected) / expected.reduce((largest, x) => Math.max(largest, Math.abs(x)), 1e-30);

test('what training changes lives there, and cannot be read without a download', async () => {
  const parameters = await parametersOn(webgpu);
  for (const name of parameters.trained)
    expect([parameters.value(name), parameters.gradient(name)].map(isHere), name).toEqual([false, false]);
  for (const gradient of (await gradientsOf(parameters)).values()) expect(gradient.every((x) => x === 0)).toBe(true);
  const frozen = await parametersOf(new Map([['a', drawn([4], 1)]]), () => false, { device: webgpu });
  expect(isHere(frozen.value('a'))).toBe(true);
});

test('three updates of AdamW are the CPU’s', async ({ annotate }) => {
  let [elements, different, worst] = [0, 0, 0];
  const [here, there] = [await adamwOn(cpu), await adamwOn(webgpu)];
  for (const [i, expected] of here.entries()) {
    worst = Math.max(worst, relativeError(there[i]!, expected));
    elements += expected.length;
    for (const [k, x] of expected.entries()) if (x !== there[i]![k]) different++;
  }
  await annotate(`${different} of ${elements} numbers differ, by ${worst} of the largest at most`);
  // As in test/optim/adamw.test.ts; WGSL lets a division and a root be off by some units in the last place more.
  expect(worst).toBeLessThan(3 * 16 * ROUNDING);
});

/** Values and moments after three updates. */
async function adamwOn(device: Device): Promise<Float32Array[]> {
  const adamw = await createAdamW(OPTIONS, device);
  const parameters: AdamWParameter[] = [];
  for (const [i, dims] of Object.values(SIZES).entries()) {
    const zeros = () => device.allocate('float32', dims);
    const tensors = {
      value: await device.upload(drawn(dims, i)),
      grad: await zeros(),
      m: await zeros(),
      v: await zeros(),
    };
    parameters.push({ ...tensors, learningRate: 1e-3 * (i + 1), weightDecay: i % 2 === 0 ? 0.1 : 0 });
  }
  for (let step = 1; step <= 3; step++) {
    for (const [i, { grad }] of parameters.entries())
      await device.write(grad, drawn(grad.dims, 100 * step + i, 10 ** -step));
    await adamw.update(parameters, { step, gradScale: 0.37 });
  }
  const results: Float32Array[] = [];
  for (const { value, grad, m, v } of parameters) {
    expect((await device.download(grad)).data.every((x) => x === 0)).toBe(true);
    for (const tensor of [value, m, v]) results.push((await device.download(tensor)).data);
  }
  await adamw.release();
  return results;
}

test('norm, clipping and parameters of three optimizer steps are the CPU’s', async ({ annotate }) => {
  const sides = await Promise.all(
    [cpu, webgpu].map(async (device) => {
      const parameters = await parametersOn(device);
      return { parameters, updater: await createUpdater(parameters, OPTIONS) };
    }),
  );
  const [here, there] = sides as [(typeof sides)[0], (typeof sides)[0]];
  const worst = { norm: 0, parameters: 0 };
  for (let step = 0; step < 3; step++) {
    const [expected, got] = await Promise.all(
      sides.map(async ({ parameters, updater }) => {
        await setGradients(parameters, step);
        return updater.update();
      }),
    );
    worst.norm = Math.max(worst.norm, Math.abs(got!.gradNorm / expected!.gradNorm - 1));
    expect(got).toMatchObject({ learningRate: expected!.learningRate, skipped: false });
    expect(expected!.gradNorm).toBeGreaterThan(1); // and is clipped
  }
  for (const name of here.parameters.trained) {
    const error = relativeError(await elementsOf(there.parameters, name), await elementsOf(here.parameters, name));
    worst.parameters = Math.max(worst.parameters, error);
  }
  await annotate(`largest errors: ${JSON.stringify(worst)}`);
  // Of the sum of squares, two rounds of at most 1024 numbers each there and one here, its root has half.
  expect(worst.norm).toBeLessThan((3 * sumError(1024)) / 2);
  // The first moment follows the clip coefficient, and a step moves a value by no more than a few learning rates.
  expect(worst.parameters).toBeLessThan(3 * 16 * ROUNDING + 3 * 1e-3 * 2 * sumError(1024));
  await Promise.all(sides.map(({ updater }) => updater.release()));
});

test('a step whose gradient is no number changes nothing there', async () => {
  const parameters = await parametersOn(webgpu);
  const updater = await createUpdater(parameters, OPTIONS);
  const before = await elementsOf(parameters, 'matrix');
  const bad = drawn(SIZES.matrix!, 3);
  bad.data[40_000] = Number.NaN;
  await webgpu.write(parameters.gradient('matrix'), bad);
  expect(await updater.update()).toMatchObject({ skipped: true });
  expect(await elementsOf(parameters, 'matrix')).toEqual(before);
  for (const gradient of (await gradientsOf(parameters)).values()) expect(gradient.every((x) => x === 0)).toBe(true);
  await updater.release();
});

test('an optimizer step moves numbers alone, however large the parameters are', async ({ annotate }) => {
  const bytes: number[] = [];
  for (const size of [2 ** 4, 2 ** 17]) {
    const sizes = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`p${i}`, i % 2 === 0 ? [size] : [size, 2]]));
    const parameters = await parametersOn(webgpu, sizes);
    const updater = await createUpdater(parameters, OPTIONS);
    await setGradients(parameters, 1);
    const before = { ...webgpu.traffic };
    await updater.update();
    await parameters.zeroGradients();
    bytes.push(webgpu.traffic.toDevice - before.toDevice + webgpu.traffic.fromDevice - before.fromDevice);
    await updater.release();
  }
  await annotate(`bytes of a step of 20 parameters: ${bytes}`);
  expect(bytes[1]).toBe(bytes[0]);
  // Of each parameter its sum of squares and where that is put; the rates of two kinds of parameters, a scale.
  expect(bytes[0]).toBeLessThanOrEqual(20 * (4 + 8) + 4 * (2 * 5 + 1));
});

test('a reference that follows the policy does so there', async () => {
  const moved = await Promise.all(
    [cpu, webgpu].map(async (device) => {
      const [policy, reference] = [await parametersOn(device), await parametersOn(device)];
      await device.write(policy.value('matrix'), drawn(SIZES.matrix!, 77));
      const before = { ...device.traffic };
      const options = { refModelSyncSteps: 1, refModelMixupAlpha: 0.3, forgetImages: () => undefined };
      const moving = await createMovingReference(policy, reference, options);
      for (const step of [1, 2]) await moving.follow(step);
      expect(device.traffic).toEqual(before);
      await moving.release();
      return elementsOf(reference, 'matrix');
    }),
  );
  const [expected, got] = moved as [Float32Array, Float32Array];
  // Two moves, each rounded three times there and once here.
  expect(relativeError(got, expected)).toBeLessThan(8 * ROUNDING);
});

describe('checkpoints', () => {
  const root = temporaryFolder();
  const checkpoint = goldenCheckpoints().find(({ name }) => name === 'qwen2_vl')!;
  const kinds = [
    ['of a model', null],
    ['of an adapter', { dir: join(checkpoint.golden, 'lora') }],
  ] as const;

  test.each(kinds)(
    '%s are the same files from either device, and can be resumed on the other one',
    async (name, adapter) => {
      const open = (device: Device): Promise<Policy> =>
        openPolicy({ model: checkpoint.model, attnImpl: 'sdpa', trainable: true, adapter, device });
      const config = await readConfig(checkpoint.model);
      const folders: string[] = [];
      for (const device of [cpu, webgpu]) {
        const policy = await open(device);
        const updater = await createUpdater(policy.parameters, OPTIONS);
        await setState(policy.parameters, updater);
        folders.push(await saved(join(root, `${name} ${device.name}`), policy, updater));
        await Promise.all([updater.release(), policy.close()]);
      }
      const [ofCpu, ofWebgpu] = folders as [string, string];
      const files = readdirSync(ofCpu).sort();
      expect(files).toContain('optimizer.safetensors');
      expect(readdirSync(ofWebgpu).sort()).toEqual(files);
      for (const file of files)
        expect(readFileSync(join(ofWebgpu, file)).equals(readFileSync(join(ofCpu, file))), file).toBe(true);

      for (const [device, dir] of [
        [webgpu, ofCpu],
        [cpu, ofWebgpu],
      ] as const) {
        const policy = await open(device);
        const updater = await createUpdater(policy.parameters, OPTIONS);
        await restorePolicy(dir, policy, config, updater);
        const again = await saved(join(root, `${name} again on ${device.name}`), policy, updater);
        for (const file of files)
          expect(readFileSync(join(again, file)).equals(readFileSync(join(dir, file))), file).toBe(true);
        await Promise.all([updater.release(), policy.close()]);
      }
    },
  );

  /** The state of an optimizer in the middle of a run. */
  async function setState({ device, trained, value, shape }: Parameters, updater: Updater): Promise<void> {
    const set = (tensor: Tensor, seed: number) => device.write(tensor, drawn(tensor.dims, seed, 0.01));
    const { moments } = updater.state();
    for (const [i, name] of trained.entries()) {
      const { m, v } = moments.get(name)!;
      await set(value(name), i);
      await set(m, 1000 + i);
      await device.write(
        v,
        floats(
          drawn(shape(name), 2000 + i).data.map((x) => x * x),
          shape(name),
        ),
      );
    }
    updater.restoreCounts({ steps: 5, updates: 4, skippedInARow: 1 });
  }

  async function saved(outputDir: string, policy: Policy, updater: Updater): Promise<string> {
    mkdirSync(outputDir);
    const { adapter: plan, modelConfig, parameters, source } = policy;
    const checkpoints = createCheckpoints({
      ...{ outputDir, source, parameters, updater, totalLimit: null, onlyModel: false, greaterIsBetter: false },
      adapter: plan && { plan, config: modelConfig, lorapLrRatio: null },
      prompts: { minPixels: null, maxPixels: null, system: null },
      emit: async () => undefined,
    });
    return checkpoints.save({
      ...{ step: 5, maxSteps: 9, epoch: 1, metric: null, logHistory: [] },
      loop: {
        command: 'rlhf',
        inputs: { dataset: { rows: 3, sha256: 'd' }, valDataset: null, model: 'm', refAdapters: null },
        sampler: { length: 3, seed: 42, shuffle: true, epoch: 1, position: 2 },
        averages: {},
        journal: { firstLog: null, lastLog: null, evalBefore: null, lastEvaluation: null, seconds: {} },
        steps: null,
      },
    });
  }
});
