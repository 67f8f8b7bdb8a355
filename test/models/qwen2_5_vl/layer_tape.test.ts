import { expect, test } from 'vitest';
import type { TextConfig } from '../../../src/models/qwen2_5_vl/config.ts';
import { createLayerTape, productBytes, tensorsOf } from '../../../src/models/qwen2_5_vl/layer_tape.ts';
import { zeros } from '../../../src/runtime/tensor.ts';

const config = {
  hiddenSize: 16,
  intermediateSize: 40,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 4,
} as TextConfig;

test('products take what the tensors of a tape with them take beyond one without', () => {
  const rows = 7;
  const bytes = (products: boolean): number =>
    tensorsOf(createLayerTape(config, (_, width) => zeros(rows, width), products)).reduce(
      (sum, { data }) => sum + data.byteLength,
      0,
    );
  expect(productBytes(config, rows)).toBe(config.numHiddenLayers * (bytes(true) - bytes(false)));
  expect(productBytes(config, rows)).toBe(4 * 3 * 7 * (16 + 8 + 8 + 16 + 40 + 40));
});
