/** Memory between a graph's inputs and outputs, against sums made by hand. */
import { describe, expect, test } from 'vitest';
import { lower } from '../../src/graph/graph.ts';
import { add, exp, mul } from '../../src/graph/ops/elementwise.ts';
import { gemm } from '../../src/graph/ops/matmul.ts';
import { reshape } from '../../src/graph/ops/movement.ts';
import { input } from '../../src/graph/value.ts';
import { namedSizes, sizeOfDim, workingBytes } from '../../src/graph/working_set.ts';

const x = input('x', ['N', 8]);
const w = input('w', [8, 16]);

describe('workingBytes', () => {
  const bytes = (outputs: Parameters<typeof lower>[0]['outputs'], n: number): number =>
    workingBytes(lower({ name: 'test', inputs: { x, w }, outputs }), new Map([['N', n]]));

  test('nothing lies between the inputs and the output of one node', () => {
    expect(bytes({ y: gemm(x, w) }, 100)).toBe(0);
  });

  test('a value goes once its last reader has run', () => {
    // exp and exp of exp exist together; the first is gone when the product is made.
    const first = exp(x);
    const second = exp(first);
    const third = exp(second);
    expect(bytes({ y: gemm(third, w) }, 100)).toBe(2 * 4 * 100 * 8);
    expect(bytes({ y: gemm(mul(third, first), w) }, 100)).toBe(3 * 4 * 100 * 8);
  });

  test('outputs are not counted, even where they are read again', () => {
    const first = exp(x);
    expect(bytes({ a: first, y: gemm(first, w) }, 100)).toBe(0);
  });

  test('a view takes nothing and keeps what it shows', () => {
    const first = exp(x);
    const flat = reshape(first, ['8*N']);
    const other = exp(exp(flat));
    // first is shown until the sum reads it: with both exponentials, three.
    expect(bytes({ y: add(other, flat) }, 100)).toBe(3 * 4 * 100 * 8);
  });
});

test('named sizes come from what is fed, and polynomials are evaluated by them', () => {
  const sizes = namedSizes([{ name: 'x', dtype: 'float32', shape: ['P', 'L', 4] }], () => [3, 5, 4]);
  expect([...sizes]).toEqual([
    ['P', 3],
    ['L', 5],
  ]);
  expect(sizeOfDim('2*L*P+P-1', sizes)).toBe(32);
  expect(sizeOfDim(7, sizes)).toBe(7);
});
