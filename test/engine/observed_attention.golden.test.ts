/**
 * The attention that `observe` shows, against transformers' weights and against this model's own eager forward: every column, by
 * layer and by head, for one completion and for several that share a prompt.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AttentionTensor } from '../../src/attention/tdr.ts';
import type { HashedImage } from '../../src/engine/image_features.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import type { AttentionImplementation, MapRows } from '../../src/engine/text_attention.ts';
import type { FloatTensor } from '../../src/runtime/tensor.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import {
  type GoldenCase,
  groupOf,
  imagesOfCases,
  loadModel,
  readCases,
  readTensors,
} from '../helpers/golden_values.ts';

const IMPLEMENTATIONS: AttentionImplementation[] = ['sdpa', 'flash_attention_2'];

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const cases = readCases(checkpoint).filter(({ completion_ids }) => completion_ids.length > 0);
  let tensors: Map<string, FloatTensor>;
  let model: VisionLanguageModel;
  let images: ReadonlyMap<string, readonly HashedImage[]> = new Map();
  let worst = 0;

  beforeAll(async () => {
    tensors = readTensors(join(checkpoint.golden, 'tensors.safetensors'));
    model = await loadModel(checkpoint);
    images = await imagesOfCases(checkpoint, model, tensors);
  });
  afterAll(async () => {
    console.log(`largest error of observed attention, ${checkpoint.name}: ${worst.toExponential(1)}`);
    await model.release();
  });

  const use = (implementation: AttentionImplementation): void => {
    for (const config of [model.config, model.config.text_config])
      if (config != null) config._attn_implementation = implementation;
  };

  describe.each(IMPLEMENTATIONS)('%s', (implementation) => {
    test.each(cases)('mean over heads, by layer: $name', async (golden) => {
      use(implementation);
      const all = model.modelConfig.text.numHiddenLayers;
      const layers = Array.from({ length: Math.min(8, all) }, (_, i) => Math.max(0, all - 8) + i);
      const group = groupOf(golden, images.get(golden.name)!);
      const seen = await mapsOf(model, [group], layers);
      const got = Float32Array.from(layers.flatMap((layer) => [...seen(layer, 0, 0)]));
      const expected = tensors.get(`${golden.name}.attention_mean_heads`)!;
      expect(got).toHaveLength(expected.data.length);
      const error = largestDifference(got, expected.data);
      worst = Math.max(worst, error);
      expect(error).toBeLessThan(1e-4);
    });

    test('some heads of completions of unequal length that share a prompt', async () => {
      const golden = cases.find(({ image_grid_thw }) => image_grid_thw !== null)!;
      const caseImages = images.get(golden.name)!;
      const whole = groupOf(golden, caseImages);
      const answers = [golden.completion_ids, golden.completion_ids.slice(0, 3), [...golden.completion_ids].reverse()];
      const heads = [1, 0];
      const group = { prompt: whole.prompt, completions: answers.map((ids) => ({ ids: Int32Array.from(ids) })) };
      use(implementation);
      const seen = await mapsOf(model, [group, group], [1], (layer) => (layer === 1 ? heads : null));
      use('eager');
      for (const [c, ids] of answers.entries()) {
        const { attentions } = await model.forward({
          input_ids: [Int32Array.from([...golden.prompt_ids, ...ids])],
          pixel_values: caseImages.map(({ pixelValues }) => pixelValues),
          image_grid_thw: caseImages.map(({ gridThw }) => gridThw),
          output_attentions: true,
          logits_to_keep: 1,
        });
        const expected = meanOf(attentions![1]!, heads, golden);
        for (const g of [0, 1]) expect(largestDifference(seen(1, g, c), expected)).toBeLessThan(1e-5);
      }
    });
  });
});

/** Completion rows, mean over some heads. [T, S] */
function meanOf({ data, dims }: AttentionTensor, heads: readonly number[], { prompt_ids }: GoldenCase): Float32Array {
  const [, , length] = dims;
  const from = prompt_ids.length;
  return Float32Array.from({ length: (length - from) * length }, (_, i) => {
    const [row, column] = [from + Math.floor(i / length), i % length];
    return heads.reduce((sum, head) => sum + data[(head * length + row) * length + column]!, 0) / heads.length;
  });
}

/** Everything that `observe` shows, by layer, group and completion: [T, S], later columns 0. */
async function mapsOf(
  model: VisionLanguageModel,
  groups: Parameters<VisionLanguageModel['observe']>[0],
  layers: readonly number[],
  headsOf?: (layer: number) => readonly number[] | null,
) {
  const seen = new Map<string, Float32Array>();
  const onRows = (layer: number, { group, completion, first, weights }: MapRows): void => {
    const { prompt, completions } = groups[group]!;
    const tokens = completions[completion]!.ids.length;
    const width = prompt.ids.length + tokens;
    const key = `${layer} ${group} ${completion}`;
    const whole = seen.get(key) ?? new Float32Array(tokens * width).fill(0);
    const [rows, columns] = weights.dims as [number, number];
    for (let t = 0; t < rows; t++)
      for (let column = 0; column < Math.min(columns, width); column++)
        whole[(first + t) * width + column] = weights.data[t * columns + column]!;
    seen.set(key, whole);
  };
  await model.observe(groups, { layers, headsOf, onRows });
  return (layer: number, group: number, completion: number): Float32Array =>
    seen.get(`${layer} ${group} ${completion}`)!;
}
