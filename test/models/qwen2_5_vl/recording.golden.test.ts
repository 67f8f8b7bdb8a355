/**
 * A step that learns from the rows sampling has computed equals the plain step with a forward of its own:
 * log-probabilities, entropies, attention masses, and every gradient.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tdrProbe } from '../../../src/attention/probe.ts';
import { createGenerator } from '../../../src/models/qwen2_5_vl/generation.ts';
import type { Group, Qwen2_5_VLModel, Scored } from '../../../src/models/qwen2_5_vl/model.ts';
import { createRandom } from '../../../src/util/random.ts';
import { largestDifference } from '../../helpers/check_op.ts';
import { goldenCheckpoints } from '../../helpers/golden.ts';
import { goldenImages, groupOf, loadModel, readCases, readTensors } from '../../helpers/golden_values.ts';

interface Setting {
  readonly gradientCheckpointing: boolean;
  readonly isTrained: (name: string) => boolean;
  readonly probed: boolean;
  readonly maxNewTokens: number;
}
// So many tokens that a run computes four of them, or three without a probe.
const usual: Setting = { gradientCheckpointing: true, isTrained: () => true, probed: true, maxNewTokens: 64 };
const visionFrozen = (name: string): boolean => !name.startsWith('visual.');

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  test.each([
    ['vision frozen', { isTrained: visionFrozen }],
    ['vision trained', {}],
    ['vision frozen, results of products kept', { isTrained: visionFrozen, gradientCheckpointing: false }],
    ['without a probe, so without rows of last tokens', { isTrained: visionFrozen, probed: false }],
    [
      'results of products kept, without a probe',
      { isTrained: visionFrozen, gradientCheckpointing: false, probed: false },
    ],
    ['a token a run', { isTrained: visionFrozen, maxNewTokens: 14 }],
    ['completions of one token', { isTrained: visionFrozen, maxNewTokens: 1 }],
    ['completions of one token, without a probe', { isTrained: visionFrozen, probed: false, maxNewTokens: 1 }],
  ] as [string, Partial<Setting>][])('%s', async (_, setting) => {
    const { gradientCheckpointing, isTrained, probed, maxNewTokens } = { ...usual, ...setting };
    const tensors = readTensors(join(checkpoint.golden, 'tensors.safetensors'));
    const cases = readCases(checkpoint).filter(({ name }) =>
      ['one_image', 'odd_size_system', 'text_only'].includes(name),
    );
    const prompts = cases.map((golden) => {
      const pixels = tensors.get(`${golden.name}.pixel_values`);
      return groupOf(golden, pixels === undefined ? [] : goldenImages(golden, pixels), []);
    });
    const model = await loadModel(checkpoint, { gradientCheckpointing }, isTrained);
    const generator = createGenerator(model);
    const { imageTokenId, videoTokenId, text } = model.sizes;
    const probe = tdrProbe(
      cases.map((golden, i) => ({ promptIds: prompts[i]!.promptIds, systemPrefix: golden.system_prefix_tokens })),
      [imageTokenId, videoTokenId],
      text.numHiddenLayers,
    );
    // Stop ids that come by chance at temperature 1: completions of different lengths.
    const stopIds = Array.from({ length: 60 }, (_, i) => 10 * i);
    const { generated, scored } = await generator.generateAndScore(
      prompts,
      { count: 4, maxNewTokens, temperature: 1.3, stopIds, bannedIds: [imageTokenId], random: createRandom(3) },
      probed ? probe : undefined,
    );
    const lengths = generated.flat().map(({ ids }) => ids.length);
    if (maxNewTokens > 1) expect(new Set(lengths).size).toBeGreaterThan(2);
    expect(scored.completions.flat().map(({ logps }) => logps.length)).toEqual(lengths);
    const fromRollout = await gradients(model, scored);

    // With a probe, the forward computes the rows of last tokens as well.
    const groups = prompts.map((prompt, g): Group => ({ ...prompt, completions: generated[g]!.map(({ ids }) => ids) }));
    const plain = await model.score(groups, { temperature: 1.3, keep: true, probe });
    const errors = { logps: 0, entropies: 0, masses: 0, gradients: 0 };
    for (const [i, expected] of plain.completions.flat().entries()) {
      const got = scored.completions.flat()[i]!;
      errors.logps = Math.max(errors.logps, largestDifference(got.logps, expected.logps));
      errors.entropies = Math.max(errors.entropies, largestDifference(got.entropies, expected.entropies));
      expect([...got.masses.keys()]).toEqual(probed ? [...expected.masses.keys()] : []);
      for (const [layer, masses] of got.masses) {
        errors.masses = Math.max(errors.masses, largestDifference(masses, expected.masses.get(layer)!));
      }
    }
    const fromForward = await gradients(model, plain);
    for (const [name, expected] of fromForward) {
      const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-12);
      errors.gradients = Math.max(errors.gradients, largestDifference(fromRollout.get(name)!, expected) / largest);
    }
    const unprobed = await model.score(groups, { temperature: 1.3, keep: true });
    errors.logps = Math.max(
      errors.logps,
      ...plain.completions
        .flat()
        .map(({ logps }, i) => largestDifference(unprobed.completions.flat()[i]!.logps, logps)),
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

/** Gradients of a fixed weighting of all log-probabilities. */
async function gradients(model: Qwen2_5_VLModel, { completions, tape }: Scored): Promise<Map<string, Float32Array>> {
  const random = createRandom(11);
  const count = completions.flat().reduce((sum, { logps }) => sum + logps.length, 0);
  model.parameters.zeroGradients();
  await model.backward(
    tape!,
    Float32Array.from({ length: count }, () => random.normal()),
  );
  return new Map(model.parameters.trained.map((name) => [name, model.parameters.gradient(name).data.slice()]));
}
