/**
 * A value of two forms: each device computes its own, and nothing of the other.
 */
import { expect, test } from 'vitest';
import { either } from '../../src/graph/either.ts';
import { lower } from '../../src/graph/graph.ts';
import { ALL_KERNELS } from '../../src/graph/kernels.ts';
import { add, exp, mul, square } from '../../src/graph/ops/elementwise.ts';
import { input } from '../../src/graph/value.ts';

const x = input('x', ['N', 3]);
const shared = add(x, 1);

test.each([true, false])('with the kernel: %s', (float64) => {
  const y = mul(either('float64', [shared], exp(mul(shared, 2)), square(shared)), shared);
  const { nodes } = lower({ name: 'g', inputs: { x }, outputs: { y } }, { ...ALL_KERNELS, float64 });
  const form = float64 ? ['Mul', 'Exp'] : ['Mul'];
  // What both forms are made of is computed once.
  expect(nodes.map(({ opType }) => opType)).toEqual(['Add', ...form, 'Mul']);
});

test('refuses forms that are not alike, and one that is made of more than was said', () => {
  expect(() => either('float64', [x], x, input('z', [3]))).toThrow(
    'either: float32 [N, 3] and float32 [3] are not alike',
  );
  const y = either('float64', [x], exp(x), exp(input('z', ['N', 3])));
  expect(() => lower({ name: 'g', inputs: { x }, outputs: { y } }, { ...ALL_KERNELS, float64: false })).toThrow(
    "input 'z' is used by a graph that does not declare it",
  );
});
