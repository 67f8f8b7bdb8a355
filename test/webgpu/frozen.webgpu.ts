/**
 * LoRA over frozen weights of 8 and 4 bits, of 16 bits in float32, and with a table in pieces, on the graphics processor and on the
 * CPU over the same weights.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/read.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { holdParameters } from '../../src/engine/held_parameters.ts';
import { createModel } from '../../src/engine/model.ts';
import { withOverlay } from '../../src/engine/overlay.ts';
import { bytesOf, loadParameters } from '../../src/engine/parameters.ts';
import { residentOn } from '../../src/engine/resident_weights.ts';
import { EMBEDDING } from '../../src/models/names.ts';
import { readConfig } from '../../src/models/registry.ts';
import { sizeOf } from '../../src/runtime/tensor.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenImages, groupOf, readCases, readTensors } from '../helpers/golden_values.ts';
import { adaptedCheckpoints, resultsOn } from '../helpers/held_results.ts';

const cases = adaptedCheckpoints.flatMap((checkpoint) => ([8, 4, null] as const).map((bits) => ({ checkpoint, bits })));

test.for(cases)('$checkpoint.name: with $bits bits', async ({ checkpoint, bits }, { annotate }) => {
  const source = openCheckpoint(checkpoint.model);
  const device = await openWebgpu();
  const here = await resultsOn(checkpoint, () => holdParameters(source, { bits }));
  const there = await resultsOn(
    checkpoint,
    async () => residentOn(await holdParameters(source, { bits, device }), device),
    { device },
  );
  source.close();
  await annotate(`largest errors: ${JSON.stringify(compared(there, here))}`);
});

test('frozen weights cross once', async () => {
  const [checkpoint] = adaptedCheckpoints as [(typeof adaptedCheckpoints)[number]];
  const device = await openWebgpu();
  const config = await readConfig(checkpoint.model);
  const source = openCheckpoint(checkpoint.model);
  const store = residentOn(await holdParameters(source, { bits: 8, device }), device);
  source.close();
  const adapter = openAdapter(join(checkpoint.golden, 'lora'), config);
  const overlay = { adapters: adapter.adapters, tensors: adapter.read() };
  const parameters = await withOverlay(store, overlay, () => true, device);
  const model = createModel(config, parameters, { attnImpl: 'sdpa', gradientCheckpointing: true, device });
  const golden = readCases(checkpoint).find(({ name }) => name === 'two_images')!;
  const pixels = readTensors(join(checkpoint.golden, 'tensors.safetensors')).get('two_images.pixel_values')!;
  const group = groupOf(golden, goldenImages(golden, pixels));
  const crossing = async (): Promise<number> => {
    const before = device.traffic.toDevice;
    await model.score([group], { temperature: 1, keep: false });
    return device.traffic.toDevice - before;
  };
  const [first, second, third] = [await crossing(), await crossing(), await crossing()];
  await model.release();
  const ofLayers = store.names.filter((name) => name.includes('model.layers.'));
  expect(first - second).toBeGreaterThan(bytesOf(store, ofLayers));
  expect(third).toBe(second);
});

test.for(adaptedCheckpoints)('$name: a table in three pieces', async (checkpoint, { annotate }) => {
  const source = openCheckpoint(checkpoint.model);
  const table = source.tensors.get(EMBEDDING)!.shape;
  const device = { ...(await openWebgpu()), largestTensor: Math.ceil((4 * sizeOf(table)) / 2.5) };
  const here = await resultsOn(checkpoint, () => loadParameters(source, () => false));
  const store = residentOn(await loadParameters(source, () => false), device);
  expect(Object.keys(store.resident!(EMBEDDING)!.form!.fed)).toHaveLength(3);
  const there = await resultsOn(checkpoint, async () => store, { device });
  source.close();
  await annotate(`largest errors: ${JSON.stringify(compared(there, here))}`);
});

type Results = Awaited<ReturnType<typeof resultsOn>>;

/** The largest errors, within the bounds of the golden tests on the CPU. */
function compared(there: Results, here: Results) {
  const worst = { logps: largestDifference(there.logps, here.logps), gradient: 0, sampled: 0 };
  expect(worst.logps).toBeLessThan(1e-4);
  expect(there.gradients.size).toBe(here.gradients.size);
  for (const [name, gradient] of here.gradients) {
    const largest = gradient.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const error = largestDifference(there.gradients.get(name)!, gradient) / largest;
    expect(error, name).toBeLessThan(1e-3);
    worst.gradient = Math.max(worst.gradient, error);
  }
  // What sampling says of its tokens is what a forward says of them: it rounds no activations.
  worst.sampled = largestDifference(there.sampledLogps, there.scoredLogps);
  expect(worst.sampled).toBeLessThan(1e-4);
  return worst;
}
