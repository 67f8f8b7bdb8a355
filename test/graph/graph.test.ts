import { describe, expect, test } from 'vitest';
import { createEmitter } from '../../src/graph/emitter.ts';
import { type Graph, lower } from '../../src/graph/graph.ts';
import { add, exp, mul, square } from '../../src/graph/ops/elementwise.ts';
import { permuteRows } from '../../src/graph/ops/gather.ts';
import { expand, reshape } from '../../src/graph/ops/movement.ts';
import { input, scalar } from '../../src/graph/value.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { floats, type Tensor } from '../../src/runtime/tensor.ts';

const [x, y] = [input('x', ['N', 2]), input('y', ['N', 2])];
const kinds = (graph: Graph): string[] => lower(graph).nodes.map(({ opType }) => opType);
const fed = (graph: Graph): string[] => lower(graph).inputs.map(({ name }) => name);

async function run(graph: Graph, feeds: Record<string, readonly number[]>): Promise<Record<string, number[]>> {
  const executable = await cpu.compile(graph);
  const tensors = Object.entries(feeds).map(([name, data]): [string, Tensor] => [
    name,
    floats(Float32Array.from(data), [data.length / 2, 2]),
  ]);
  const results = await executable.run(Object.fromEntries(tensors));
  await executable.release();
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]));
}

describe('equal nodes', () => {
  test('are written once, however often their values were built', async () => {
    const graph = { name: 'g', inputs: { x }, outputs: { out: add(mul(exp(x), 2), square(exp(x))) } };
    expect(kinds(graph).filter((kind) => kind === 'Exp')).toHaveLength(1);
    expect((await run(graph, { x: [0, 1] })).out![1]).toBeCloseTo(2 * Math.E + Math.E ** 2, 5);
  });

  test('give every output its own tensor', async () => {
    const graph = { name: 'g', inputs: { x }, outputs: { a: exp(x), b: exp(x) } };
    const { a, b } = await run(graph, { x: [0, 1] });
    expect(a).toEqual(b);
  });

  test('are those with equal attributes, signs of zero and infinities included', () => {
    const emitter = createEmitter([]);
    const of = (alpha: number): string => emitter.node('Elu', ['x'], { alpha: { float: alpha } });
    const names = [1, 0, -0, Infinity, -Infinity, Number.NaN].map(of);
    expect(new Set(names).size).toBe(6);
    expect(of(1)).toBe(names[0]);
    expect(emitter.node('Elu', ['x'], { alpha: { float: 1 } }, 'com.microsoft')).not.toBe(names[0]);
    expect(emitter.node('Split', ['x'], {}, '', 2)).not.toBe(emitter.node('Split', ['x'], {}, '', 3));
  });
});

describe('inputs', () => {
  test('any value can be declared an input: nothing behind it is computed', async () => {
    const middle = exp(mul(x, y));
    const graph = { name: 'cut', inputs: { middle }, outputs: { out: square(middle) } };
    expect(kinds(graph)).toEqual(['Mul']);
    expect(lower(graph).inputs).toEqual([{ name: 'middle', dtype: 'float32', shape: ['N', 2] }]);
    expect(await run(graph, { middle: [3, 5] })).toEqual({ out: [9, 25] });
  });

  test('a cut on one path leaves the other', async () => {
    const middle = exp(x);
    const graph = { name: 'cut', inputs: { x, middle }, outputs: { out: add(middle, x) } };
    expect(kinds(graph)).toEqual(['Add']);
    expect(await run(graph, { x: [1, 2], middle: [10, 20] })).toEqual({ out: [11, 22] });
  });

  test('unused ones are dropped', () => {
    const graph = { name: 'g', inputs: { x, y, z: input('z', [3]) }, outputs: { out: exp(x) } };
    expect(fed(graph)).toEqual(['x']);
  });

  test('one that an op takes for its gradient only is dropped', () => {
    const [index, inverse] = [input('index', ['N'], 'int32'), input('inverse', ['N'], 'int32')];
    const graph = { name: 'g', inputs: { x, index, inverse }, outputs: { out: permuteRows(x, index, inverse) } };
    expect(fed(graph)).toEqual(['x', 'index']);
  });

  test('one that only carries a size stays', () => {
    const graph = { name: 'g', inputs: { x, y: input('y', [2]) }, outputs: { out: expand(input('y', [2]), ['N', 2]) } };
    expect(() => lower(graph)).toThrow("internal: input 'y' is used by a graph that does not declare it");
    const y2 = input('y2', [2]);
    expect(fed({ name: 'g', inputs: { x, y2 }, outputs: { out: expand(y2, ['N', 2]) } })).toEqual(['x', 'y2']);
  });

  test('a size is read from an input that is fed anyway', () => {
    const [z, one] = [input('z', ['N', 3]), input('one', [2])];
    const graph = { name: 'g', inputs: { x, z, one }, outputs: { wide: expand(one, ['N', 2]), out: exp(z) } };
    expect(fed(graph)).toEqual(['z', 'one']);
  });

  test('a size that no input carries', () => {
    const graph = { name: 'g', inputs: {}, outputs: { out: expand(scalar(1), ['N', 2]) } };
    expect(() => lower(graph)).toThrow("internal: no input of the graph has the size 'N' as a whole dimension");
    const product = input('p', ['N*M']);
    expect(() => lower({ name: 'g', inputs: { product }, outputs: { out: reshape(product, ['N', 'M']) } })).toThrow(
      "has the size 'N'",
    );
  });

  test('one that is not declared', () => {
    expect(() => lower({ name: 'g', inputs: { x }, outputs: { out: add(x, y) } })).toThrow(
      "internal: input 'y' is used by a graph that does not declare it",
    );
  });
});

describe('outputs', () => {
  test('are made by their own nodes, without copies, also where others read them', () => {
    const h = exp(x);
    const graph = { name: 'g', inputs: { x }, outputs: { h, out: square(h) } };
    expect(lower(graph).nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs])).toEqual([
      ['Exp', ['x'], ['h']],
      ['Mul', ['h', 'h'], ['out']],
    ]);
  });

  test('one value under two names', async () => {
    const h = exp(x);
    const graph = { name: 'g', inputs: { x }, outputs: { a: h, b: h } };
    expect(kinds(graph)).toEqual(['Exp', 'Identity']);
    expect(await run(graph, { x: [0, 0] })).toEqual({ a: [1, 1], b: [1, 1] });
  });

  test('an input is an output, under another name', async () => {
    const graph = { name: 'g', inputs: { x }, outputs: { same: x, out: exp(x) } };
    expect(await run(graph, { x: [0, 0] })).toEqual({ same: [0, 0], out: [1, 1] });
  });

  test('a constant', async () => {
    const graph = { name: 'g', inputs: {}, outputs: { out: scalar(2.5) } };
    expect(await run(graph, {})).toEqual({ out: [2.5] });
  });

  test('not under the name of an input', () => {
    expect(() => lower({ name: 'g', inputs: { x }, outputs: { x: exp(x) } })).toThrow(
      "internal: graph g: 'x' is an input and an output",
    );
  });

  test('a value is computed once, however often it is used', () => {
    const h = exp(x);
    expect(kinds({ name: 'g', inputs: { x }, outputs: { out: add(mul(h, h), h) } })).toEqual(['Exp', 'Mul', 'Add']);
  });
});

test('names that look like generated ones do not collide', async () => {
  const [v0, c0] = [input('v0', ['N', 2]), input('c0', ['N', 2])];
  const graph = { name: 'g', inputs: { v0, c0 }, outputs: { v1: add(mul(v0, 2), c0), v2: mul(v0, 3), c1: add(c0, 1) } };
  expect(await run(graph, { v0: [1, 2], c0: [10, 20] })).toEqual({ v1: [12, 24], v2: [3, 6], c1: [11, 21] });
});

test('equal constants are written once; different element types and sizes are not equal', () => {
  const graph = { name: 'g', inputs: { x }, outputs: { a: add(mul(x, 2), 2), b: reshape(x, [1, 'N', 2]) } };
  expect(lower(graph).constants.map(({ dtype, dims, values }) => [dtype, dims, values])).toEqual([
    ['float32', [], [2]],
    ['int64', [3], [1, -1, 2]],
  ]);
});

describe('sizes of 0 at run time', () => {
  const empty = async (shape: (string | number)[], dims: number[]): Promise<readonly number[]> => {
    const [a, p] = [input('a', ['N', 'M']), input('p', [0])];
    const executable = await cpu.compile({ name: 'g', inputs: { a, p }, outputs: { out: exp(reshape(a, shape)) } });
    const results = await executable.run({ a: floats(new Float32Array(0), dims), p: floats(new Float32Array(0), [0]) });
    await executable.release();
    return results.out!.dims;
  };
  test.each([
    [
      ['M', 'N'],
      [0, 3],
      [3, 0],
    ],
    [
      ['M', 'N'],
      [3, 0],
      [0, 3],
    ],
    [['M*N'], [0, 3], [0]],
    [
      ['M', 1, 'N'],
      [0, 3],
      [3, 1, 0],
    ],
  ])('reshape to %j', async (shape, dims, expected) => {
    expect(await empty(shape, dims)).toEqual(expected);
  });
});
