/**
 * Embedding tables and heads that are larger than any tensor of a device. The device is the CPU's kernels behind the interface of
 * one with its own memory, and takes less than half of the table.
 */
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { createGenerator } from '../../src/engine/generation.ts';
import { holdParameters } from '../../src/engine/held_parameters.ts';
import { createModel } from '../../src/engine/model.ts';
import { loadParameters } from '../../src/engine/parameters.ts';
import { residentOn } from '../../src/engine/resident_weights.ts';
import { EMBEDDING, HEAD } from '../../src/models/names.ts';
import { readConfig } from '../../src/models/registry.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Device } from '../../src/runtime/device.ts';
import { sizeOf } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { adaptedCheckpoints, resultsOn } from '../helpers/held_results.ts';

const farDevice = (largestTensor: number): Device => ({
  ...cpu,
  sharesMemory: false,
  largestTensor,
  channelBlock: async () => null,
});

const cases = adaptedCheckpoints.flatMap((checkpoint) => ([null, 8] as const).map((bits) => ({ checkpoint, bits })));

test.for(cases)('$checkpoint.name: in three pieces, with $bits bits', async ({ checkpoint, bits }) => {
  const source = openCheckpoint(checkpoint.model);
  const table = source.tensors.get(EMBEDDING)!.shape;
  const device = farDevice(Math.ceil((4 * sizeOf(table)) / 2.5));
  const read = () => (bits === null ? loadParameters(source, () => false) : holdParameters(source, { bits, device }));
  const store = residentOn(await read(), device);
  for (const name of [EMBEDDING, HEAD].filter((each) => source.tensors.has(each)))
    expect(Object.keys(store.resident!(name)!.form!.fed), name).toEqual(['0', '1', '2']);
  const whole = await resultsOn(checkpoint, async () => residentOn(await read(), farDevice(Number.POSITIVE_INFINITY)), {
    device: farDevice(Number.POSITIVE_INFINITY),
  });
  const cut = await resultsOn(checkpoint, async () => store, { device });
  source.close();
  // Each logit is the same sum of products; kernels may add in another order for another number of outputs.
  expect(largestDifference(cut.logps, whole.logps)).toBeLessThan(1e-5);
  expect(cut.gradients.size).toBe(whole.gradients.size);
  for (const [name, gradient] of whole.gradients) {
    const largest = gradient.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    expect(largestDifference(cut.gradients.get(name)!, gradient), name).toBeLessThan(1e-4 * largest);
  }
  expect(cut.ids).toEqual(whole.ids);
  expect(largestDifference(cut.sampledLogps, whole.sampledLogps)).toBeLessThan(1e-5);
});

test('logits that have no room are refused with the sizes and what to lower', async () => {
  const [checkpoint] = adaptedCheckpoints as [(typeof adaptedCheckpoints)[number]];
  const config = await readConfig(checkpoint.model);
  const source = openCheckpoint(checkpoint.model);
  const { vocabSize } = config.text;
  // Logits of two completions have room, those of three have not.
  const device = farDevice(8 * vocabSize);
  const parameters = residentOn(await loadParameters(source, () => false), device);
  source.close();
  const model = createModel(config, parameters, { attnImpl: 'sdpa', gradientCheckpointing: true, device });
  const generator = createGenerator(model);
  const sample = (count: number) =>
    generator.generate([{ ids: Int32Array.of(1, 2, 3), images: [] }], {
      ...{ count, maxNewTokens: 2, temperature: 1, stopIds: [], bannedIds: [], random: createRandom(1) },
    });
  const { groups } = await sample(2);
  expect(groups[0]!.completions).toHaveLength(2);
  await expect(sample(3)).rejects.toMatchObject({
    code: 'E_DEVICE_MEMORY',
    message: expect.stringMatching(
      new RegExp(`takes no tensor above .* GiB: the logits of 3 completions \\[3, ${vocabSize}\\]`),
    ),
    hint: expect.stringContaining('--per_device_train_batch_size'),
  });
  await Promise.all([generator.release(), model.release()]);
});
