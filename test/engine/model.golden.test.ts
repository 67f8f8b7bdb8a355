/**
 * The model against transformers' own values: logits, log-probabilities, entropies, attention, TDR; every implementation.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { imageAttention } from '../../src/attention/image_attention.ts';
import { isTdr, tdrFromAttentions, tdrSpans } from '../../src/attention/tdr.ts';
import type { HashedImage } from '../../src/engine/image_features.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import type { AttentionImplementation } from '../../src/engine/text_attention.ts';
import type { FloatTensor } from '../../src/runtime/tensor.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { groupOf, imagesOfCases, loadModel, readCases, readTensors } from '../helpers/golden_values.ts';

const IMPLEMENTATIONS: AttentionImplementation[] = ['eager', 'sdpa', 'flash_attention_2'];

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const cases = readCases(checkpoint);
  let tensors: Map<string, FloatTensor>;
  let model: VisionLanguageModel;
  let images: ReadonlyMap<string, readonly HashedImage[]> = new Map();
  const worst: Record<string, number> = {};
  const note = (kind: string, error: number): number => {
    worst[kind] = Math.max(worst[kind] ?? 0, error);
    return error;
  };

  beforeAll(async () => {
    tensors = readTensors(join(checkpoint.golden, 'tensors.safetensors'));
    model = await loadModel(checkpoint);
    images = await imagesOfCases(checkpoint, model, tensors);
  });
  afterAll(async () => {
    console.log(`largest errors, ${checkpoint.name}:`, worst);
    await model.release();
  });

  test.each(cases)('visual tokens: $name', async (golden) => {
    const expected = tensors.get(`${golden.name}.image_embeds`);
    if (expected === undefined) return expect(golden.image_grid_thw).toBeNull();
    const { tokens } = await model.vision.forward(images.get(golden.name)!, null);
    expect(note('visual tokens', largestDifference(tokens.data, expected.data))).toBeLessThan(1e-4);
  });

  describe.each(IMPLEMENTATIONS)('%s', (implementation) => {
    beforeAll(() => {
      for (const config of [model.config, model.config.text_config]) {
        if (config != null) config._attn_implementation = implementation;
      }
    });

    test.each(cases)('log-probabilities and entropies: $name', async (golden) => {
      const group = groupOf(golden, images.get(golden.name)!);
      const { groups } = await model.score([group], { temperature: 1, keep: false });
      const { logps, entropies } = groups[0]!.completions[0]!;
      expect(note('logps', largestDifference(logps, golden.completion_logps))).toBeLessThan(1e-4);
      expect(note('entropies', largestDifference(entropies, golden.entropy.slice(0, logps.length)))).toBeLessThan(1e-4);
    });

    test.each(cases)('logits and attention: $name', async (golden) => {
      const ids = Int32Array.from([...golden.prompt_ids, ...golden.completion_ids]);
      const caseImages = images.get(golden.name)!;
      const output = await model.forward({
        input_ids: [ids],
        pixel_values: caseImages.map(({ pixelValues }) => pixelValues),
        image_grid_thw: caseImages.map(({ gridThw }) => gridThw),
        output_attentions: true,
        logits_to_keep: golden.completion_ids.length + 1,
      });
      expect(
        note('logits', largestDifference(output.logits!.data, tensors.get(`${golden.name}.logits`)!.data)),
      ).toBeLessThan(1e-4);
      if (implementation !== 'eager') return expect(output.attentions).toBeNull();
      const attentions = output.attentions!;
      expect(attentions).toHaveLength(model.modelConfig.text.numHiddenLayers);
      const expected = tensors.get(`${golden.name}.attention_mean_heads`)!;
      const got = meanOverHeads(attentions.slice(-8), golden.prompt_ids.length);
      expect(note('attention', largestDifference(got, expected.data))).toBeLessThan(1e-4);
      const columns = [...golden.prompt_ids.keys()].filter(
        (column) => golden.prompt_ids[column] === model.modelConfig.imageTokenId,
      );
      const onImages = imageAttention(attentions, columns, golden.prompt_ids.length, golden.completion_ids.length);
      expect(note('attention', largestDifference(onImages, onColumns(expected, columns)))).toBeLessThan(1e-4);
      const full = tensors.get(`${golden.name}.attention_layer0_full`);
      if (full !== undefined)
        expect(note('attention', largestDifference(attentions[0]!.data, full.data))).toBeLessThan(1e-4);

      const { imageTokenId, videoTokenId } = model.modelConfig;
      const spans = tdrSpans(golden.prompt_ids, golden.system_prefix_tokens, golden.completion_ids.length, [
        imageTokenId,
        videoTokenId,
      ]);
      const tdr = tdrFromAttentions(attentions, spans);
      if (golden.tdr === null) return expect(isTdr(tdr)).toBe(false);
      if (!isTdr(tdr)) throw new Error(`TDR is undefined: ${tdr.undefined}`);
      expect(note('tdr', Math.abs(tdr.tdr - golden.tdr.tdr))).toBeLessThan(1e-4);
      expect(note('rho', Math.abs(tdr.rhoVis - golden.tdr.rho_vis))).toBeLessThan(1e-4);
      expect(note('rho', Math.abs(tdr.rhoText - golden.tdr.rho_text))).toBeLessThan(1e-4);
      expect([tdr.nVis, tdr.nText]).toEqual([golden.tdr.n_vis, golden.tdr.n_text]);
      expect(note('rho', largestDifference(tdr.perTokenVis, golden.tdr.per_token_vis))).toBeLessThan(1e-4);
      expect(note('rho', largestDifference(tdr.perTokenText, golden.tdr.per_token_text))).toBeLessThan(1e-4);
    });
  });
});

/** The mean over layers of (layers, T, S), on some columns. [T, columns] */
function onColumns({ data, dims }: { data: Float32Array; dims: readonly number[] }, columns: readonly number[]) {
  const [layers, rows, length] = dims as [number, number, number];
  return Float64Array.from({ length: rows * columns.length }, (_, i) => {
    const [row, column] = [Math.floor(i / columns.length), columns[i % columns.length]!];
    let sum = 0;
    for (let layer = 0; layer < layers; layer++) sum += data[(layer * rows + row) * length + column]!;
    return sum / layers;
  });
}

/** Completion rows of the mean over heads: (layers, T, S). */
function meanOverHeads(
  layers: readonly { data: Float32Array; dims: readonly number[] }[],
  firstRow: number,
): Float32Array {
  const rows: number[] = [];
  for (const { data, dims } of layers) {
    const [, heads, length] = dims as [number, number, number];
    for (let row = firstRow; row < length; row++) {
      for (let column = 0; column < length; column++) {
        let total = 0;
        for (let head = 0; head < heads; head++) total += data[(head * length + row) * length + column]!;
        rows.push(total / heads);
      }
    }
  }
  return Float32Array.from(rows);
}
