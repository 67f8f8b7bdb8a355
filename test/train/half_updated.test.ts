/** An error in the middle of an update: what it is called, and that its weights are not saved. */
import { expect, test } from 'vitest';
import { parametersOf } from '../../src/engine/parameters.ts';
import { SightlineError } from '../../src/errors.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Device } from '../../src/runtime/device.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createMovingReference } from '../../src/train/moving_reference.ts';
import { saveUnfinished } from '../../src/train/save_policy.ts';
import { createUpdater } from '../../src/train/update.ts';

const full = (): SightlineError =>
  new SightlineError('E_DEVICE_MEMORY', 'the memory has run out', { hint: 'lower it', exitCode: 1 });

/** A device that has no memory for the second run of a graph. */
const failing = (graph: string): Device => ({
  ...cpu,
  sharesMemory: false,
  async compile(compiled) {
    const executable = await cpu.compile(compiled);
    let runs = 0;
    const run: typeof executable.run = async (...given) => {
      if (compiled.name === graph && ++runs === 2) throw full();
      return executable.run(...given);
    };
    return { ...executable, run };
  },
});

const twoOn = (device: Device) =>
  parametersOf(new Map(['a', 'b'].map((name) => [name, floats(Float32Array.of(1, 2), [2])])), () => true, { device });

const HALF_UPDATED = {
  code: 'E_HALF_UPDATED',
  message: 'weights were only partly updated: the memory has run out',
  hint: 'lower it',
  exitCode: 1,
};

test('an update that fails between two parameters is told as such', async () => {
  const parameters = await twoOn(failing('adamw'));
  const updater = await createUpdater(parameters, {
    ...{ beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.5, maxGradNorm: 0 },
    decays: () => true,
    schedule: () => 0.1,
  });
  await expect(updater.update()).rejects.toMatchObject(HALF_UPDATED);
  const { data } = await parameters.device.download(parameters.value('a'));
  expect([...data].map((x) => Math.round(x * 1e5) / 1e5)).toEqual([0.95, 1.9]);
  expect((await parameters.device.download(parameters.value('b'))).data).toEqual(Float32Array.of(1, 2));
  await updater.release();
});

test('so is a reference that follows only with its first parameters', async () => {
  const device = failing('moved reference');
  const moving = await createMovingReference(await twoOn(device), await twoOn(device), {
    ...{ refModelSyncSteps: 1, refModelMixupAlpha: 0.5, forgetImages: () => undefined },
  });
  await expect(moving.follow(1)).rejects.toMatchObject(HALF_UPDATED);
  await moving.release();
});

test('weights are saved after an error that has left them whole, and not after this one', async () => {
  const saved: number[] = [];
  const journal = { notice: async () => undefined };
  const ending = (error: unknown, step: number) =>
    saveUnfinished(error, {
      ...{ step, saveStrategy: 'steps' as const, signal: new AbortController().signal, journal },
      save: async () => void saved.push(step),
    });
  await expect(ending(full(), 1)).rejects.toThrow('the memory has run out');
  const half = new SightlineError('E_HALF_UPDATED', 'weights were only partly updated');
  await expect(ending(half, 2)).rejects.toBe(half);
  expect(saved).toEqual([1]);
});
