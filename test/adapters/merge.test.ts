/**
 * Merging of an update into a weight against float64.
 */
import { expect, test } from 'vitest';
import { newAdapterTensors } from '../../src/adapters/init.ts';
import { mergeUpdate } from '../../src/adapters/merge.ts';
import { createRandom } from '../../src/util/random.ts';

const random = createRandom(9);
const noise = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());

test.each([
  [1, 1, 1],
  [5, 8, 3],
  [16, 7, 4],
])('W [%i, %i], rank %i', (out, inner, rank) => {
  const [weight, a, b] = [noise(out * inner), noise(rank * inner), noise(out * rank)];
  const merged = weight.slice();
  mergeUpdate(merged, { a, b, scale: 0.75, rank });
  for (let o = 0; o < out; o++) {
    for (let i = 0; i < inner; i++) {
      let expected = weight[o * inner + i]!;
      for (let k = 0; k < rank; k++) expected += 0.75 * b[o * rank + k]! * a[k * inner + i]!;
      // Rounded once.
      expect(Math.abs(merged[o * inner + i]! - expected)).toBeLessThanOrEqual(Math.abs(expected) * 2 ** -24 + 1e-12);
    }
  }
});

test('first values: A within 1 / sqrt(in), B zero, by the name of the layer', () => {
  const adapter = { rank: 64, scale: 1, out: 10, inner: 100 };
  const both = newAdapterTensors({ a: adapter, b: adapter }, true, createRandom(1));
  const alone = newAdapterTensors({ b: adapter }, true, createRandom(1));
  const a = both.get('a.lora_A.weight')!.data;
  expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(Math.fround(0.1));
  expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.099);
  // Uniform on [-w, w]: mean 0, variance w² / 3.
  const mean = a.reduce((sum, x) => sum + x, 0) / a.length;
  const variance = a.reduce((sum, x) => sum + x * x, 0) / a.length;
  expect(Math.abs(mean)).toBeLessThan(5 * Math.sqrt(0.01 / 3 / a.length));
  expect(variance).toBeCloseTo(0.01 / 3, 3);
  expect(both.get('a.lora_B.weight')!.data.every((x) => x === 0)).toBe(true);
  expect(alone.get('b.lora_A.weight')).toEqual(both.get('b.lora_A.weight'));
  expect(both.get('a.lora_A.weight')).not.toEqual(both.get('b.lora_A.weight'));
  const gaussian = newAdapterTensors({ a: adapter }, 'gaussian', createRandom(1)).get('a.lora_A.weight')!.data;
  expect(gaussian.reduce((sum, x) => sum + x * x, 0) / gaussian.length).toBeCloseTo(1 / 64 ** 2, 4);
  const plain = newAdapterTensors({ a: adapter }, false, createRandom(1)).get('a.lora_B.weight')!.data;
  expect(Math.max(...plain.map(Math.abs))).toBeGreaterThan(0.1);
});
