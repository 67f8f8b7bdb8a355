import { expect, test } from 'vitest';
import { createLayerTape, mapTape, productBytes } from '../../src/engine/layer_tape.ts';
import type { TextConfig } from '../../src/models/architecture.ts';
import { here } from '../../src/runtime/device.ts';
import { zeros } from '../../src/runtime/tensor.ts';

const config = {
  hiddenSize: 16,
  intermediateSize: 40,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 4,
} as TextConfig;
const ROWS = 7;

function bytesOfTape(products: boolean): number {
  let bytes = 0;
  mapTape(
    createLayerTape(config, (_, width) => zeros(ROWS, width), products),
    (_, tensor) => {
      bytes += here(tensor).data.byteLength;
      return tensor;
    },
  );
  return bytes;
}

test('products take what the tensors of a tape with them take beyond one without', () => {
  expect(bytesOfTape(false)).toBe(4 * ROWS * (16 + 16));
  expect(productBytes(config, ROWS)).toBe(config.numHiddenLayers * (bytesOfTape(true) - bytesOfTape(false)));
  expect(productBytes(config, ROWS)).toBe(4 * 3 * ROWS * (16 + 8 + 8 + 16 + 40 + 40));
});
