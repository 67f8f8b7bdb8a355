/**
 * A step that learns from the rows sampling has computed equals the plain step with a forward of its own:
 * log-probabilities, entropies, attention masses, and every gradient.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { massProbe } from '../../src/attention/probe.ts';
import { tokensPerRun } from '../../src/engine/decode_cost.ts';
import { createGenerator } from '../../src/engine/generation.ts';
import type { CompletionIds, Prompt } from '../../src/engine/groups.ts';
import { productBytes } from '../../src/engine/layer_tape.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import type { Scored } from '../../src/engine/scored_groups.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { findEnds } from '../helpers/draws.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { completionsIn, goldenImages, loadModel, promptOf, readCases, readTensors } from '../helpers/golden_values.ts';
import { gradientsOf } from '../helpers/parameters.ts';

interface Setting {
  readonly gradientCheckpointing: boolean;
  readonly isTrained: (name: string) => boolean;
  readonly probed: boolean;
  readonly maxNewTokens: number;
  /** Tokens that a run should compute of so many. */
  readonly perRun: number;
  /** Completions end here and there, not at the limit. */
  readonly ends: boolean;
}
const usual: Setting = {
  gradientCheckpointing: true,
  isTrained: () => true,
  probed: true,
  maxNewTokens: 64,
  perRun: 4,
  ends: true,
};
const visionFrozen = (name: string): boolean => !name.startsWith('visual.');

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  test.each([
    ['vision frozen', { isTrained: visionFrozen }],
    ['vision trained', {}],
    ['vision frozen, results of products kept', { isTrained: visionFrozen, gradientCheckpointing: false }],
    ['without a probe, so without rows of last tokens', { isTrained: visionFrozen, probed: false, perRun: 3 }],
    [
      'results of products kept, without a probe',
      { isTrained: visionFrozen, gradientCheckpointing: false, probed: false, perRun: 3 },
    ],
    [
      'completions cut off amid a run',
      {
        isTrained: visionFrozen,
        gradientCheckpointing: false,
        maxNewTokens: 90,
        perRun: 3,
        probed: false,
        ends: false,
      },
    ],
    ['a token a run', { isTrained: visionFrozen, maxNewTokens: 12, perRun: 1 }],
    ['completions of two tokens', { isTrained: visionFrozen, maxNewTokens: 2, perRun: 1 }],
    ['completions of one token', { isTrained: visionFrozen, maxNewTokens: 1, perRun: 1 }],
    [
      'completions of one token, without a probe',
      { isTrained: visionFrozen, probed: false, maxNewTokens: 1, perRun: 1 },
    ],
  ] as [string, Partial<Setting>][])('%s', async (_, setting) => {
    const { gradientCheckpointing, isTrained, probed, maxNewTokens, perRun, ends } = { ...usual, ...setting };
    expect(tokensPerRun(probed ? maxNewTokens : maxNewTokens - 1, 4)).toBe(perRun);
    const tensors = readTensors(join(checkpoint.golden, 'tensors.safetensors'));
    const cases = readCases(checkpoint).filter(({ name }) =>
      ['one_image', 'odd_size_system', 'text_only'].includes(name),
    );
    const prompts = cases.map((golden) => {
      const pixels = tensors.get(`${golden.name}.pixel_values`);
      return promptOf(golden, pixels === undefined ? [] : goldenImages(golden, pixels));
    });
    const model = await loadModel(checkpoint, { gradientCheckpointing }, isTrained);
    const generator = createGenerator(model);
    const { imageTokenId, videoTokenId, text } = model.modelConfig;
    const probe = massProbe(
      cases.map((golden, i) => ({ ids: prompts[i]!.ids, systemPrefix: golden.system_prefix_tokens })),
      [imageTokenId, videoTokenId],
      text.numHiddenLayers,
    );
    const shared = { count: 4, maxNewTokens, bannedIds: [imageTokenId], random: createRandom(3) };
    const { temperature, stopIds } = await findEnds(ends && maxNewTokens > 2 ? 3 : 1, async (temperature) => {
      const drawn = await generator.generate(prompts, { ...shared, temperature, stopIds: [] });
      return completionsIn(drawn)
        .flat()
        .map(({ ids }) => ids);
    });
    const options = { ...shared, temperature, stopIds };
    const scored = await generator.generate(prompts, { ...options, keep: true, probe: probed ? probe : undefined });
    const generated = completionsIn(scored);
    const lengths = generated.flat().map(({ ids }) => ids.length);
    if (!ends) expect(new Set(lengths)).toEqual(new Set([maxNewTokens]));
    else if (maxNewTokens > 2) expect(new Set(lengths).size).toBeGreaterThan(1);
    expect(generated.flat().map(({ logps }) => logps.length)).toEqual(lengths);
    const fromRollout = await gradients(model, scored);

    // With a probe, the forward computes the rows of last tokens as well.
    const groups = prompts.map((prompt, g) => ({
      prompt,
      completions: generated[g]!.map(({ ids }) => ({ ids })),
    }));
    const plain = await model.score(groups, { temperature, keep: true, probe });
    const errors = { logps: 0, entropies: 0, masses: 0, gradients: 0 };
    for (const [i, expected] of completionsIn(plain).flat().entries()) {
      const got = generated.flat()[i]!;
      errors.logps = Math.max(errors.logps, largestDifference(got.logps, expected.logps));
      errors.entropies = Math.max(errors.entropies, largestDifference(got.entropies, expected.entropies));
      expect([...got.masses.keys()]).toEqual(probed ? [...expected.masses.keys()] : []);
      for (const [layer, masses] of got.masses) {
        errors.masses = Math.max(errors.masses, largestDifference(masses, expected.masses.get(layer)!));
      }
    }
    if (probed) {
      // Measured while sampling, with nothing kept: the same in every bit.
      const measured = await generator.generate(prompts, { ...options, probe });
      expect(measured).toEqual({ groups: scored.groups, tape: null });
    }
    const fromForward = await gradients(model, plain);
    for (const [name, expected] of fromForward) {
      const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-12);
      errors.gradients = Math.max(errors.gradients, largestDifference(fromRollout.get(name)!, expected) / largest);
    }
    const unprobed = await model.score(groups, { temperature, keep: true });
    errors.logps = Math.max(
      errors.logps,
      ...completionsIn(plain)
        .flat()
        .map(({ logps }, i) => largestDifference(completionsIn(unprobed).flat()[i]!.logps, logps)),
    );
    for (const [name, got] of await gradients(model, unprobed)) {
      const expected = fromForward.get(name)!;
      const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-12);
      errors.gradients = Math.max(errors.gradients, largestDifference(got, expected) / largest);
    }
    console.log(`rollout against forward, ${checkpoint.name}:`, errors);
    expect(Math.max(errors.logps, errors.entropies)).toBeLessThan(5e-5);
    expect(errors.masses).toBeLessThan(1e-5);
    expect(errors.gradients).toBeLessThan(1e-4);
    await generator.release();
    await model.release();
  });
});

test.each(goldenCheckpoints())('products are kept as long as they do not take too much: $name', async (checkpoint) => {
  const golden = readCases(checkpoint).find(({ image_grid_thw }) => image_grid_thw === null)!;
  const prompt = promptOf(golden, []);
  const model = await loadModel(checkpoint, { gradientCheckpointing: null });
  const keeps = (steps: number): boolean =>
    model.record([prompt], { count: 8, maxTokens: 1, steps, tape: true }).keeps === 'products';
  const largest = Math.floor((2 ** 28 / productBytes(model.modelConfig.text, 1) - prompt.ids.length) / 8);
  expect(keeps(64)).toBe(true);
  expect(model.productRoom).toBe(0);
  expect(keeps(largest)).toBe(true);
  expect(keeps(largest + 1)).toBe(false);
  expect(model.productRoom).toBeLessThan(8 * productBytes(model.modelConfig.text, 1));
  const { tape } = await model.score([{ prompt, completions: [{ ids: [1, 2, 3] }] }], { temperature: 1, keep: true });
  expect(tape!.decoder.layers.every(({ products }) => products !== null)).toBe(true);
  // Neither call makes the choice another one.
  model.gradient_checkpointing_disable();
  expect(keeps(largest + 1)).toBe(false);
  model.gradient_checkpointing_enable();
  expect([model.is_gradient_checkpointing, keeps(64)]).toEqual([false, true]);
  await model.release();
});

/** Gradients of a fixed weighting of all log-probabilities. */
async function gradients(
  model: VisionLanguageModel,
  scored: Scored<Prompt, CompletionIds>,
): Promise<Map<string, Float32Array>> {
  const random = createRandom(11);
  const count = completionsIn(scored)
    .flat()
    .reduce((sum, { logps }) => sum + logps.length, 0);
  await model.parameters.zeroGradients();
  await model.backward(
    scored.tape!,
    Float32Array.from({ length: count }, () => random.normal()),
  );
  return gradientsOf(model.parameters);
}
