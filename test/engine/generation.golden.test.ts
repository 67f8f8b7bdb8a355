/**
 * Greedy tokens against transformers' generate, and the sampler's promises: repeatable, bounded, independent of neighbours.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGenerator, type GenerateOptions, type Generator } from '../../src/engine/generation.ts';
import type { Prompt } from '../../src/engine/groups.ts';
import type { SampledCompletion } from '../../src/engine/live_rows.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import { type FloatTensor, floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { completionsIn, imagesOfCases, loadModel, promptOf, readCases, readTensors } from '../helpers/golden_values.ts';

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const cases = readCases(checkpoint);
  let model: VisionLanguageModel;
  let generator: Generator;
  const prompts = new Map<string, Prompt>();

  beforeAll(async () => {
    model = await loadModel(checkpoint);
    generator = createGenerator(model);
    const tensors = readTensors(join(checkpoint.golden, 'tensors.safetensors'));
    const images = await imagesOfCases(checkpoint, model, tensors);
    for (const golden of cases) prompts.set(golden.name, promptOf(golden, images.get(golden.name)!));
  });
  afterAll(async () => {
    await generator.release();
    await model.release();
  });

  const options = (changes: Partial<GenerateOptions> = {}): GenerateOptions => ({
    count: 1,
    maxNewTokens: 12,
    temperature: 0,
    stopIds: model.modelConfig.eosTokenIds,
    bannedIds: [],
    random: createRandom(0),
    ...changes,
  });

  /** Of every token, how far the sampler's log-probability at temperature 1 is from that of scoring. */
  async function logpErrors(
    subset: readonly Prompt[],
    generated: readonly (readonly SampledCompletion[])[],
  ): Promise<number[]> {
    const groups = subset.map((prompt, i) => ({ prompt, completions: generated[i]! }));
    const scored = await model.score(groups, { temperature: 1, keep: false });
    return completionsIn(scored).flatMap((group, g) =>
      group.flatMap(({ logps }, c) => [...logps].map((logp, t) => Math.abs(logp - generated[g]![c]!.logps[t]!))),
    );
  }

  test('greedy tokens of every case, all prompts in one batch', async () => {
    const generated = completionsIn(await generator.generate([...prompts.values()], options()));
    cases.forEach((golden, i) => {
      expect([...generated[i]![0]!.ids], golden.name).toEqual(golden.greedy_ids);
    });
  });

  test('two calls at once wait for each other: each gives what it gives alone', async () => {
    const all = [...prompts.values()];
    const calls = [
      () =>
        generator.generate(
          all.slice(0, 2),
          options({ count: 3, temperature: 1, maxNewTokens: 40, random: createRandom(1) }),
        ),
      () =>
        generator.generate(
          all.slice(1, 4),
          options({ count: 2, temperature: 1, maxNewTokens: 20, random: createRandom(2) }),
        ),
    ];
    const alone = [await calls[0]!(), await calls[1]!()];
    expect(await Promise.all(calls.map((call) => call()))).toEqual(alone);
  });

  test('sampler log-probabilities are those of scoring, past several growths of the cache', async () => {
    const subset = [...prompts.values()].slice(0, 3);
    const generated = completionsIn(
      await generator.generate(subset, options({ count: 3, temperature: 1, maxNewTokens: 90, stopIds: [] })),
    );
    const errors = await logpErrors(subset, generated);
    expect(errors.length).toBe(3 * 3 * 90);
    expect(Math.max(...errors)).toBeLessThan(5e-5);
  });

  test('weights that change between two calls are those of the second one', async () => {
    const subset = [...prompts.values()].slice(0, 2);
    const sample = async () =>
      completionsIn(await generator.generate(subset, options({ count: 2, temperature: 1, stopIds: [] })));
    await sample();
    const weights = model.parameters.names
      .filter((name) => /(layers.*proj|embed_tokens|lm_head).*weight/.test(name) && !name.startsWith('visual'))
      .map((name) => model.parameters.value(name));
    const { device } = model.parameters;
    const before: FloatTensor[] = [];
    for (const weight of weights) {
      const elements = await device.download(weight);
      before.push(floats(elements.data.slice(), elements.dims));
      await device.write(
        weight,
        floats(
          elements.data.map((x, i) => (i % 3 === 0 ? 1.5 * x : x)),
          elements.dims,
        ),
      );
    }
    const generated = await sample();
    const errors = await logpErrors(subset, generated);
    for (const [i, weight] of weights.entries()) await device.write(weight, before[i]!);
    expect(errors.length).toBe(2 * 2 * 12);
    expect(Math.max(...errors)).toBeLessThan(5e-5);
  });

  test('sampler log-probabilities are those of scoring', async () => {
    const subset = [...prompts.values()].slice(0, 3);
    const generated = completionsIn(await generator.generate(subset, options({ count: 5, temperature: 0.8 })));
    const groups = subset.map((prompt, i) => ({ prompt, completions: generated[i]! }));
    const scored = await model.score(groups, { temperature: 0.8, keep: false });
    let worst = 0;
    completionsIn(scored).forEach((group, g) => {
      group.forEach(({ logps }, c) => {
        logps.forEach((logp, t) => {
          worst = Math.max(worst, Math.abs(logp - generated[g]![c]!.logps[t]!));
        });
      });
    });
    console.log(`largest |sampler logp - scored logp|, ${checkpoint.name}: ${worst}`);
    expect(worst).toBeLessThan(1e-4);
  });

  test('a seed repeats, whoever else is in the batch', async () => {
    const [first, second] = [...prompts.values()] as [Prompt, Prompt];
    const ids = (generated: readonly { ids: Int32Array }[]) => generated.map((completion) => [...completion.ids]);
    const sampling = (): GenerateOptions => options({ count: 4, temperature: 1, random: createRandom(7) });
    const alone = completionsIn(await generator.generate([first], sampling()));
    const again = completionsIn(await generator.generate([first], sampling()));
    const beside = completionsIn(await generator.generate([first, second], sampling()));
    expect(ids(again[0]!)).toEqual(ids(alone[0]!));
    expect(ids(beside[0]!)).toEqual(ids(alone[0]!));
    expect(new Set(ids(alone[0]!).map(String)).size).toBeGreaterThan(1);
  });

  test('banned ids never come, stop ids end, top_k 1 is greedy, top_p 0 too', async () => {
    const [first] = [...prompts.values()] as [Prompt];
    const allowed = [10, 11, 12, 13];
    const bannedIds = Array.from({ length: model.modelConfig.text.vocabSize }, (_, id) => id).filter(
      (id) => !allowed.includes(id),
    );
    const sampled = completionsIn(
      await generator.generate([first], options({ count: 40, temperature: 5, bannedIds, stopIds: [13] })),
    );
    for (const { ids, finished } of sampled[0]!) {
      expect(allowed).toEqual(expect.arrayContaining([...ids]));
      expect(finished).toBe(ids.at(-1) === 13);
      expect([...ids].slice(0, -1)).not.toContain(13);
    }
    expect(new Set(sampled[0]!.map(({ ids }) => ids.length)).size).toBeGreaterThan(1);
    const greedy = completionsIn(await generator.generate([first], options()));
    for (const rule of [{ topK: 1 }, { topP: 0 }]) {
      const filtered = completionsIn(await generator.generate([first], options({ temperature: 1, ...rule })));
      expect([...filtered[0]![0]!.ids]).toEqual([...greedy[0]![0]!.ids]);
    }
  });
});
