/**
 * Adapters over frozen weights that stay on disk: the same scores, gradients and samples as over weights in memory.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/read.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { createGenerator } from '../../src/engine/generation.ts';
import { createModel, type VisionLanguageModel } from '../../src/engine/model.ts';
import { copiesOf, withHead, withOverlay } from '../../src/engine/overlay.ts';
import { loadParameters, streamParameters } from '../../src/engine/parameters.ts';
import { readConfig } from '../../src/models/registry.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { completionsIn, goldenImages, groupOf, promptOf, readCases, readTensors } from '../helpers/golden_values.ts';
import { elementsOf, gradientOf } from '../helpers/parameters.ts';

const checkpoint = goldenCheckpoints().find(({ name }) => name === 'nested_tied')!;

test('streamed weights give what weights in memory give', async () => {
  const config = await readConfig(checkpoint.model);
  const adapter = openAdapter(join(checkpoint.golden, 'lora'), config);
  const source = openCheckpoint(checkpoint.model);
  const overlay = () => ({ adapters: adapter.adapters, tensors: adapter.read() });
  const stores = [await loadParameters(source, () => false), await streamParameters(source)];
  const [inMemory, streamed] = (await Promise.all(
    stores.map(async (store) =>
      createModel(config, await withOverlay(store, overlay(), () => true), {
        attnImpl: 'sdpa',
        gradientCheckpointing: true,
      }),
    ),
  )) as [VisionLanguageModel, VisionLanguageModel];
  expect(streamed.parameters.inMemory).toBe(false);
  expect(streamed.parameters.trained).toEqual(inMemory.parameters.trained);
  const golden = readCases(checkpoint).find(({ name }) => name === 'two_images')!;
  const pixels = readTensors(join(checkpoint.golden, 'tensors.safetensors')).get('two_images.pixel_values')!;
  const images = goldenImages(golden, pixels);
  const results = [];
  for (const model of [inMemory, streamed]) {
    const { tape, ...scored } = await model.score([groupOf(golden, images)], { temperature: 1, keep: true });
    const { logps } = completionsIn(scored)[0]![0]!;
    await model.backward(
      tape!,
      Float32Array.from(logps, (_, t) => t - 3),
    );
    const generator = createGenerator(model);
    const sampling = { count: 2, maxNewTokens: 6, temperature: 1, stopIds: [], bannedIds: [] };
    const generated = await generator.generate([promptOf(golden, images)], { ...sampling, random: createRandom(2) });
    await generator.release();
    results.push({ logps: logps.slice(), ids: completionsIn(generated)[0]!.map(({ ids }) => [...ids]) });
  }
  expect(largestDifference(results[1]!.logps, results[0]!.logps)).toBe(0);
  expect(results[1]!.ids).toEqual(results[0]!.ids);
  for (const name of inMemory.parameters.trained) {
    const [a, b] = await Promise.all([inMemory, streamed].map((model) => gradientOf(model.parameters, name)));
    expect(largestDifference(b!, a!), name).toBe(0);
  }
  expect(() => streamed.parameters.gradient('model.norm.weight')).toThrow('internal: no parameter');
  await Promise.all([inMemory.release(), streamed.release()]);
  source.close();
});

test('copies of tensors that lie together lie together, and a tied head gets a name', async () => {
  const source = openCheckpoint(checkpoint.model);
  const store = await loadParameters(source, () => false);
  source.close();
  const q = 'model.layers.1.self_attn.q_proj.weight';
  const tensors = copiesOf(store, [q]);
  expect([...tensors.keys()].sort()).toEqual(['k', 'q', 'v'].map((name) => q.replace('q_proj', `${name}_proj`)));
  const parameters = await withOverlay(store, { adapters: {}, tensors }, (name) => name === q);
  expect(parameters.trained).toEqual([q]);
  tensors.get(q)!.data[0] = 17;
  const joint = 'model.layers.1.self_attn.qkv_proj.weight';
  expect((await elementsOf(parameters, joint))[0]).toBe(17);
  expect((await elementsOf(store, joint))[0]).not.toBe(17);
  expect(parameters.value(joint).dims).toEqual(store.value(joint).dims);
  const headed = withHead(store);
  expect(headed.value('lm_head.weight')).toBe(store.value('model.embed_tokens.weight'));
  expect(withHead(headed)).toBe(headed);
});
