/**
 * An adapter on every linear layer of the model, the patch embedding and the head among them, with modules that are trained
 * whole, against PEFT: logits, loss and every gradient (test/golden/make/lora_whole.py). Ranks, scales and targets differ by
 * layer, and the embedding is untied where it was tied.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canonicalName } from '../../src/checkpoint/names.ts';
import { createGenerator } from '../../src/engine/generation.ts';
import { openPolicy, type Policy } from '../../src/train/policy.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { completionsIn, goldenImages, groupOf, promptOf, readCases, readTensors } from '../helpers/golden_values.ts';
import { gradientOf } from '../helpers/parameters.ts';

const checkpoints = goldenCheckpoints().filter(({ golden }) => existsSync(join(golden, 'lora_whole')));

describe.each(checkpoints)('$name', ({ name, model: dir, golden, ...rest }) => {
  const adapterDir = join(golden, 'lora_whole');
  const expected = readTensors(join(adapterDir, 'values.safetensors'));
  const tensors = readTensors(join(golden, 'tensors.safetensors'));
  const cases = readCases({ name, model: dir, golden, ...rest });
  let policy: Policy;
  beforeAll(async () => {
    policy = await openPolicy({ model: dir, attnImpl: 'sdpa', trainable: true, adapter: { dir: adapterDir } });
  });
  afterAll(() => policy.close());

  const caseOf = (which: string) => {
    const found = cases.find((each) => each.name === which)!;
    const pixels = tensors.get(`${which}.pixel_values`);
    return { ...found, images: pixels === undefined ? [] : goldenImages(found, pixels) };
  };
  const logitsOf = async (model: Policy['model'], which: string): Promise<Float32Array> => {
    const { prompt_ids, completion_ids, images } = caseOf(which);
    const { logits } = await model.forward({
      input_ids: [Int32Array.of(...prompt_ids, ...completion_ids)],
      pixel_values: images.map(({ pixelValues }) => pixelValues),
      image_grid_thw: images.map(({ gridThw }) => gridThw),
      logits_to_keep: completion_ids.length + 1,
    });
    return logits!.data;
  };

  test.each([...expected.keys()].filter((key) => key.endsWith('.logits')))('%s', async (key) => {
    const { data } = expected.get(key)!;
    const largest = data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const error = largestDifference(await logitsOf(policy.model, key.replace('.logits', '')), data) / largest;
    console.log(`${name}: ${key}, largest error ${error}`);
    expect(error).toBeLessThan(1e-4);
  });

  test('without the adapter the model is what it was', async () => {
    const { data } = tensors.get('two_images.logits')!;
    expect(largestDifference(await logitsOf(await policy.reference(), 'two_images'), data)).toBeLessThan(1e-4);
  });

  test('loss and every gradient', async () => {
    const golden = caseOf('two_images');
    const group = groupOf(golden, golden.images, [Int32Array.from(golden.completion_ids)]);
    const { tape, ...scored } = await policy.model.score([group], { temperature: 1, keep: true });
    const { logps } = completionsIn(scored)[0]![0]!;
    const weights = Float32Array.from(logps, (_, t) => ((t % 5) - 2) / logps.length);
    const loss = logps.reduce((sum, logp, t) => sum + weights[t]! * logp, 0);
    const [target] = expected.get('two_images.loss')!.data as unknown as [number];
    await policy.parameters.zeroGradients();
    await policy.model.backward(tape!, weights);
    let worst = { error: 0, name: '' };
    const seen: string[] = [];
    for (const [key, { data }] of expected) {
      if (!key.startsWith('grad.')) continue;
      const parameter = canonicalName(key.slice('grad.'.length));
      seen.push(parameter);
      const largest = data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      const error = largestDifference(await gradientOf(policy.parameters, parameter), data) / largest;
      if (error > worst.error) worst = { error, name: parameter };
      expect(error, parameter).toBeLessThan(1e-3);
    }
    console.log(`${name}: loss ${loss}, expected ${target}; largest gradient error ${worst.error} (${worst.name})`);
    expect(Math.abs(loss - target)).toBeLessThan(1e-4 * (1 + Math.abs(target)));
    expect(seen.sort()).toEqual([...policy.parameters.trained].sort());
  });

  test.each([
    ['copies in blocks', undefined],
    ['weights on the left, adapters apart', { runBytes: 2 ** 30, copyBytes: 0 }],
    ['a layer at a time', { runBytes: 1, copyBytes: 0 }],
  ])('sampling scores as a forward does: %s', async (_, limits) => {
    const golden = caseOf('two_images');
    const generator = createGenerator(policy.model, limits);
    const prompt = promptOf(golden, golden.images);
    const generated = await generator.generate([prompt], {
      count: 3,
      maxNewTokens: 9,
      temperature: 0.8,
      stopIds: [],
      bannedIds: [],
      random: createRandom(1),
      keep: true,
    });
    const completions = completionsIn(generated)[0]!;
    const again = await policy.model.score([{ prompt, completions }], { temperature: 0.8, keep: false });
    const errors = completions.map(({ logps }, c) => largestDifference(logps, completionsIn(again)[0]![c]!.logps));
    expect(Math.max(...errors)).toBeLessThan(1e-4);
    await generator.release();
  });
});
