/**
 * Masks of dropout: how many zeros, where, what is left; and the update of a linear layer with one.
 */
import { describe, expect, test } from 'vitest';
import { fillMask } from '../../src/engine/dropout.ts';
import type { Module } from '../../src/graph/module.ts';
import { adapted, layerOf } from '../../src/nn/adapter.ts';
import { linear } from '../../src/nn/linear.ts';
import { compileModule } from '../../src/runtime/compiled_module.ts';
import { type FloatTensor, floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';

const maskOf = (length: number, rate: number, seed: number): Float32Array => {
  const mask = new Float32Array(length);
  fillMask(mask, rate, createRandom(seed));
  return mask;
};

describe('a mask', () => {
  test.each([0.01, 0.05, 0.5, 0.9])('drops a share of %s, the same for the same stream', (rate) => {
    const mask = maskOf(200_000, rate, 7);
    expect(maskOf(200_000, rate, 7)).toEqual(mask);
    expect(maskOf(200_000, rate, 8)).not.toEqual(mask);
    expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / (1 - rate))]));
    const dropped = mask.filter((value) => value === 0).length;
    // Five deviations of a binomial count.
    expect(Math.abs(dropped - mask.length * rate)).toBeLessThan(5 * Math.sqrt(mask.length * rate * (1 - rate)));
    // Neighbours are independent: pairs of zeros are as frequent as they would be by chance.
    const pairs = mask.filter((value, i) => value === 0 && mask[i + 1] === 0).length;
    const expected = mask.length * rate ** 2;
    expect(Math.abs(pairs - expected)).toBeLessThan(5 * Math.sqrt(2 * expected) + 5);
  });

  test('of rate 0 changes nothing', () => {
    expect(new Set(maskOf(1000, 0, 1))).toEqual(new Set([1]));
  });

  test('may begin and end with a zero', () => {
    const masks = Array.from({ length: 200 }, (_, seed) => maskOf(4, 0.5, seed));
    for (const place of [0, 3]) {
      const zeros = masks.filter((mask) => mask[place] === 0).length;
      expect(Math.abs(zeros - 100)).toBeLessThan(5 * Math.sqrt(50));
    }
  });
});

describe('the update of a linear layer', () => {
  const [N, IN, OUT, RANK, SCALE] = [5, 7, 3, 2, 1.5];
  const module: Module = {
    name: 'layer',
    params: { 'a.weight': [OUT, IN], 'a.bias': [OUT] },
    inputs: { x: ['N', IN] },
    constants: {},
    build: (w) => ({ y: linear(w.x!, layerOf(w, 'a')) }),
  };
  const random = createRandom(4);
  const noise = (...dims: number[]): FloatTensor =>
    floats(
      Float32Array.from({ length: dims.reduce((a, b) => a * b) }, () => random.normal()),
      dims,
    );
  const at = ({ data, dims }: FloatTensor, i: number, j: number): number => data[i * dims[1]! + j]!;

  test('is scale · (mask · x) Aᵀ Bᵀ, with the gradients of that', async () => {
    const adapter = { rank: RANK, scale: SCALE, out: OUT, inner: IN };
    const compiled = compileModule(adapted(module, { a: adapter }, 'N'), {
      trainable: (param) => param.includes('lora'),
    });
    const [x, weight, a, b, dy] = [noise(N, IN), noise(OUT, IN), noise(RANK, IN), noise(OUT, RANK), noise(N, OUT)];
    const bias = noise(OUT);
    const mask = floats(maskOf(N * IN, 0.4, 3), [N, IN]);
    const feeds = {
      x,
      'a.weight': weight,
      'a.bias': bias,
      'a.lora_A.weight': a,
      'a.lora_B.weight': b,
      'a.lora_dropout': mask,
    };
    const { y } = await compiled.forward(feeds);
    const sum = (count: number, term: (i: number) => number): number =>
      Array.from({ length: count }, (_, i) => term(i)).reduce((total, value) => total + value, 0);
    const masked = (n: number, i: number): number => at(x, n, i) * at(mask, n, i);
    const reduced = (n: number, k: number): number => sum(IN, (i) => masked(n, i) * at(a, k, i));
    const back = (n: number, k: number): number => sum(OUT, (o) => at(dy, n, o) * at(b, o, k));
    const near = (actual: FloatTensor, expected: (i: number, j: number) => number): void => {
      const [, columns] = actual.dims as [number, number];
      for (const [place, value] of actual.data.entries())
        expect(value).toBeCloseTo(expected(Math.floor(place / columns), place % columns), 4);
    };
    near(
      y!,
      (n, o) =>
        sum(IN, (i) => at(weight, o, i) * at(x, n, i)) +
        bias.data[o]! +
        SCALE * sum(RANK, (k) => reduced(n, k) * at(b, o, k)),
    );
    const acc = { 'acc.a.lora_A.weight': noise(RANK, IN), 'acc.a.lora_B.weight': noise(OUT, RANK) };
    const gradients = await compiled.backward({ ...feeds, 'd.y': dy, ...acc });
    expect(Object.keys(gradients).sort()).toEqual(['d.x', 'grad.a.lora_A.weight', 'grad.a.lora_B.weight']);
    near(
      gradients['grad.a.lora_A.weight']!,
      (k, i) => at(acc['acc.a.lora_A.weight'], k, i) + SCALE * sum(N, (n) => back(n, k) * masked(n, i)),
    );
    near(
      gradients['grad.a.lora_B.weight']!,
      (o, k) => at(acc['acc.a.lora_B.weight'], o, k) + SCALE * sum(N, (n) => at(dy, n, o) * reduced(n, k)),
    );
    near(
      gradients['d.x']!,
      (n, i) =>
        sum(OUT, (o) => at(dy, n, o) * at(weight, o, i)) +
        SCALE * sum(RANK, (k) => back(n, k) * at(a, k, i)) * at(mask, n, i),
    );
    await compiled.release();
  });

  test('a module without adapters is the same object: no graph changes', () => {
    expect(adapted(module, {})).toBe(module);
  });
});
