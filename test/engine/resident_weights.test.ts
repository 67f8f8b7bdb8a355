/**
 * Frozen weights in a device's own memory. The device is the CPU's kernels behind the interface of a device with its own memory, so that
 * words of float16, which the graphics processor in software does not compute with, are tested as well
 * (test/webgpu/frozen.webgpu.ts has the others there).
 */
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { holdParameters } from '../../src/engine/held_parameters.ts';
import { loadParameters, type Parameters, streamParameters } from '../../src/engine/parameters.ts';
import { residentOn } from '../../src/engine/resident_weights.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Device } from '../../src/runtime/device.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { adaptedCheckpoints, dequantisedIn, resultsOn } from '../helpers/held_results.ts';

/** A device with the CPU's kernels, with float16 or without. */
const farDevice = (float16: boolean): Device => ({
  ...cpu,
  sharesMemory: false,
  kernels: { ...cpu.kernels, float16 },
  channelBlock: async () => null,
});

/** The store, which must not widen a weight that it holds in another form. */
const neverWidened = (store: Parameters): Parameters => ({
  ...store,
  value(name) {
    if (store.stored!(name) !== null) throw new Error(`${name} is widened`);
    return store.value(name);
  },
});

const cases = adaptedCheckpoints.flatMap((checkpoint) =>
  ([4, 8, null] as const).map((bits) => ({ ...checkpoint, bits, as: bits === null ? 'words' : `${bits} bits` })),
);

test.for(cases)('$name: weights kept as $as give what the CPU gives over the same', async ({ bits, ...checkpoint }) => {
  const source = openCheckpoint(checkpoint.model);
  const here = await holdParameters(source, { bits });
  const wanted = await resultsOn(checkpoint, async () => here);
  const device = farDevice(true);
  const there = await resultsOn(
    checkpoint,
    async () => residentOn(neverWidened(await holdParameters(source, { bits, device })), device),
    { device },
  );
  const exact = await loadParameters(source, () => false);
  const decoded = await resultsOn(checkpoint, async () => (bits === null ? exact : dequantisedIn(exact, here)));
  source.close();
  // The same numbers are multiplied, by the same kernels.
  expect(largestDifference(there.logps, wanted.logps)).toBe(0);
  expect(there.tdr).toBe(wanted.tdr);
  expect(there.gradients.size).toBe(wanted.gradients.size);
  for (const [name, gradient] of wanted.gradients)
    expect(largestDifference(there.gradients.get(name)!, gradient), name).toBe(0);
  // Sampling rounds no activations: it is that of the numbers that the weights stand for, multiplied in another order.
  expect(there.ids).toEqual(decoded.ids);
  expect(largestDifference(there.sampledLogps, decoded.sampledLogps)).toBeLessThan(1e-4);
  expect(largestDifference(there.sampledLogps, there.scoredLogps)).toBeLessThan(1e-4);
});

test.each(['held in 16 bits', 'on disk'] as const)(
  'without float16 kernels, weights %s are kept in float32, and read once',
  async (where) => {
    const [checkpoint] = adaptedCheckpoints as [(typeof adaptedCheckpoints)[number]];
    const source = openCheckpoint(checkpoint.model);
    const plain = await resultsOn(checkpoint, () => loadParameters(source, () => false));
    const device = farDevice(false);
    const read = new Map<string, number>();
    // The CPU uploads nothing, so a copy stands for the device's memory.
    const copying: Device = { ...device, upload: async (tensor) => structuredClone(tensor) };
    const there = await resultsOn(
      checkpoint,
      async () => {
        const store =
          where === 'on disk' ? await streamParameters(source) : await holdParameters(source, { bits: null, device });
        const value = (name: string) => {
          if (/\.(layers|blocks)\./.test(name)) read.set(name, (read.get(name) ?? 0) + 1);
          return store.value(name);
        };
        return residentOn({ ...store, value }, copying);
      },
      { device: copying },
    );
    source.close();
    expect(largestDifference(there.logps, plain.logps)).toBe(0);
    for (const [name, gradient] of plain.gradients)
      expect(largestDifference(there.gradients.get(name)!, gradient), name).toBe(0);
    expect(there.ids).toEqual(plain.ids);
    expect(read.size).toBeGreaterThan(10);
    expect([...read].filter(([, times]) => times !== 1)).toEqual([]);
  },
);

test('where weights are in float32, or the memory is shared, nothing changes', async () => {
  const [checkpoint] = adaptedCheckpoints as [(typeof adaptedCheckpoints)[number]];
  const source = openCheckpoint(checkpoint.model);
  const inMemory = await loadParameters(source, () => false);
  const held = await holdParameters(source, { bits: 8 });
  source.close();
  expect(residentOn(inMemory, farDevice(true))).toBe(inMemory);
  expect(residentOn(held, cpu)).toBe(held);
});
