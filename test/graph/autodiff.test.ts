import { describe, expect, test, vi } from 'vitest';
import { gradients } from '../../src/graph/autodiff.ts';
import { makeNode } from '../../src/graph/ops/define.ts';
import { add, exp, lessOrEqual, mul, square, toFloat, where } from '../../src/graph/ops/elementwise.ts';
import { gemm } from '../../src/graph/ops/matmul.ts';
import { expand, reshape } from '../../src/graph/ops/movement.ts';
import { cumulativeShare, reduceMax, sum } from '../../src/graph/ops/reduce.ts';
import { topological } from '../../src/graph/topological.ts';
import { input, type Value } from '../../src/graph/value.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { floats, type HostTensor, type Tensor } from '../../src/runtime/tensor.ts';
import { type Argument, checkOp, type Reference } from '../helpers/check_op.ts';
import { tabulate } from '../helpers/reference.ts';

/** A node that passes its input on, with rules the test can watch. */
function watched(source: Value, other: Value, rules: { source: () => Value; other: () => Value }): Value {
  return makeNode({
    op: 'watched',
    inputs: [source, other],
    shape: source.shape,
    emit: (emitter, [name]) => emitter.node('Identity', [name!]),
    vjp: () => [rules.source, rules.other],
  });
}

const [x, y] = [input('x', [2, 3]), input('y', [2, 3])];
const dy = input('dy', [2, 3]);

const run = async (
  inputs: Record<string, Value>,
  output: Value,
  feeds: Record<string, Tensor>,
): Promise<HostTensor> => {
  const executable = await cpu.compile({ name: 'g', inputs, outputs: { output } });
  const results = await executable.run(feeds, {}, ['output']);
  await executable.release();
  return results.output;
};

describe('paths', () => {
  const cases: Record<string, { args: Argument[]; build: (...args: Value[]) => Value; reference: Reference }> = {
    'two paths from one value add up': {
      args: [{ dims: [2, 3] }],
      build: (a) => add(square(a), exp(a)),
      reference: (a) => a.map((v) => v * v + Math.exp(v)),
    },
    'a diamond: one value used by two that meet again': {
      args: [{ dims: [4], low: -1, high: 1 }],
      build: (a) => {
        const shared = exp(a);
        return mul(add(shared, a), square(shared));
      },
      reference: (a) => a.map((v) => (Math.exp(v) + v) * Math.exp(v) ** 2),
    },
    'many paths': {
      args: [{ dims: [3], low: 0, high: 1 }],
      build: (a) => [1, 2, 3, 4, 5].reduce((value: Value) => add(mul(value, a), value), a),
      reference: (a) => a.map((v) => v * (1 + v) ** 5),
    },
    'paths of different broadcasts': {
      args: [
        { dims: [3], shape: ['M'] },
        { dims: [2, 3], shape: ['N', 'M'] },
      ],
      build: (a, b) => add(mul(a, b), add(a, sum(mul(a, b), [0], true))),
      reference: (a, b) => tabulate([2, 3], (i, j) => a[j]! * b![i * 3 + j]! + a[j]! + a[j]! * (b![j]! + b![3 + j]!)),
    },
    'an argument that is used only to compare gets nothing': {
      args: [{ dims: [4] }, { dims: [4] }],
      build: (a, b) => where(lessOrEqual(a, b), square(b), 0),
      reference: (a, b) => a.map((v, i) => (v <= b![i]! ? b![i]! ** 2 : 0)),
    },
  };
  test.each(Object.entries(cases))('%s', async (_, opCase) => {
    await checkOp(opCase);
  });

  test('several outputs send cotangents at once', async () => {
    const a = input('a', [2]);
    const [first, second] = [square(a), exp(a)];
    const [da] = gradients(
      [
        { value: first, cotangent: input('d1', [2]) },
        { value: second, cotangent: input('d2', [2]) },
      ],
      [a],
    );
    const feeds = { a: [0.5, 1], d1: [2, 3], d2: [5, 7] };
    const inputs = Object.fromEntries(
      topological([da!]).flatMap((v) => (v.op.startsWith('input ') ? [[v.op.slice(6), v]] : [])),
    );
    const got = await run(
      inputs,
      da!,
      Object.fromEntries(Object.entries(feeds).map(([name, data]) => [name, floats(Float32Array.from(data), [2])])),
    );
    expect(got.data[0]).toBeCloseTo(2 * 2 * 0.5 + 5 * Math.exp(0.5), 4);
    expect(got.data[1]).toBeCloseTo(3 * 2 * 1 + 7 * Math.E, 4);
  });

  test('an output is its own cotangent', () => {
    expect(gradients([{ value: x, cotangent: dy }], [x])).toEqual([dy]);
  });

  test('no path: null', () => {
    expect(gradients([{ value: exp(x), cotangent: dy }], [y])).toEqual([null]);
  });

  test('a value on the way to another: both get their whole derivative', async () => {
    const a = input('a', [1]);
    const h = square(a);
    const one = floats(Float32Array.of(1), [1]);
    const d = input('d', [1]);
    const [dh, da] = gradients([{ value: exp(h), cotangent: d }], [h, a]);
    const feeds = { a: floats(Float32Array.of(0.5), [1]), d: one };
    expect((await run({ a, d }, dh!, feeds)).data[0]).toBeCloseTo(Math.exp(0.25), 5);
    expect((await run({ a, d }, da!, feeds)).data[0]).toBeCloseTo(Math.exp(0.25) * 2 * 0.5, 5);
  });
});

describe('what is not needed', () => {
  test('is not built: a cotangent nobody asked for', () => {
    const rules = { source: vi.fn(() => dy), other: vi.fn(() => dy) };
    const value = watched(exp(x), exp(y), rules);
    gradients([{ value, cotangent: dy }], [x]);
    expect(rules.source).toHaveBeenCalledTimes(1);
    expect(rules.other).not.toHaveBeenCalled();
  });

  test('is not built: what lies behind the value that is asked for', () => {
    const rules = { source: vi.fn(() => dy), other: vi.fn(() => dy) };
    const value = watched(x, y, rules);
    gradients([{ value: exp(value), cotangent: dy }], [value]);
    expect(rules.source).not.toHaveBeenCalled();
    expect(rules.other).not.toHaveBeenCalled();
  });

  test('is not built: outputs that do not depend on it', () => {
    const rules = { source: vi.fn(() => dy), other: vi.fn(() => dy) };
    const elsewhere = watched(x, x, rules);
    const results = gradients(
      [
        { value: elsewhere, cotangent: dy },
        { value: exp(y), cotangent: dy },
      ],
      [y],
    );
    expect(results[0]).not.toBeNull();
    expect(rules.source).not.toHaveBeenCalled();
  });

  test('a rule is asked once, however many paths end in its value', () => {
    const rules = { source: vi.fn(() => dy), other: vi.fn(() => dy) };
    const value = watched(x, y, rules);
    gradients([{ value: add(mul(value, value), exp(value)), cotangent: dy }], [x]);
    expect(rules.source).toHaveBeenCalledTimes(1);
  });
});

describe('broadcast axes are summed', () => {
  const shapes: readonly (readonly [number[], number[]])[] = [
    [[3], [2, 3]],
    [
      [1, 3],
      [2, 3],
    ],
    [
      [2, 1],
      [2, 3],
    ],
    [
      [1, 1],
      [2, 3],
    ],
    [[], [2, 3]],
    [[1], [2, 3]],
    [
      [3, 1],
      [2, 3, 4],
    ],
    [
      [1, 3, 1],
      [2, 3, 4],
    ],
  ];
  test.each(shapes)('%j up to %j', async (from, to) => {
    const [a, cotangent] = [input('a', from), input('cotangent', to)];
    const [da] = gradients([{ value: expand(a, to), cotangent }], [a]);
    expect(da!.shape).toEqual(from);
    await checkOp({
      args: [{ dims: from }, { dims: to }],
      build: (small, big) => mul(small, big),
    });
  });

  test('a name is no 1, though it may be 1 at run time', async () => {
    const opCase = (rows: number) => ({
      args: [{ dims: [3] }, { dims: [rows, 3], shape: ['N', 3] }],
      build: (a: Value, b: Value) => mul(a, b),
    });
    await checkOp(opCase(1));
    await checkOp(opCase(4));
  });

  test('a bias of a linear layer is summed over the rows', () => {
    const [rows, w, b] = [input('rows', ['N', 4]), input('w', [5, 4]), input('b', [5])];
    const value = gemm(rows, w, { transB: true, plus: b });
    const [db] = gradients([{ value, cotangent: input('d', ['N', 5]) }], [b]);
    expect(db!.shape).toEqual([5]);
  });
});

describe('errors', () => {
  test('an op without a gradient says its name and why', () => {
    expect(() => gradients([{ value: exp(reduceMax(x, [1], true)), cotangent: input('d', [2, 1]) }], [x])).toThrow(
      "no gradient through 'reduceMax': it is only used where its gradient cancels or is discrete",
    );
    expect(() => gradients([{ value: cumulativeShare(exp(x)), cotangent: dy }], [x])).toThrow(
      "no gradient through 'cumulativeShare': only sampling uses it",
    );
    const indicator = toFloat(lessOrEqual(x, y));
    expect(() => gradients([{ value: mul(indicator, x), cotangent: dy }], [x])).toThrow(
      "no gradient through 'toFloat': its input is not a real number",
    );
  });

  test('but only where a path crosses it', () => {
    const value = mul(y, reduceMax(x, [1], true));
    expect(gradients([{ value, cotangent: dy }], [y])[0]).not.toBeNull();
    const picked = reduceMax(x, [1], true);
    expect(gradients([{ value: exp(picked), cotangent: input('d', [2, 1]) }], [picked])[0]).not.toBeNull();
  });

  test('a cotangent of another shape', () => {
    expect(() => gradients([{ value: exp(x), cotangent: input('d', [3, 2]) }], [x])).toThrow(
      'internal: cotangent [3, 2] for a value of shape [2, 3] (exp)',
    );
  });

  test('a rule whose cotangent does not fit', () => {
    const rules = { source: () => input('d', [2, 4]), other: () => dy };
    expect(() => gradients([{ value: watched(x, y, rules), cotangent: dy }], [x])).toThrow(
      'internal: cotangent [2, 4] does not reduce to [2, 3]',
    );
  });
});

test('topological order: inputs first, each value once, nothing behind a stop', () => {
  const a = exp(x);
  const b = mul(a, a);
  const c = add(b, reshape(a, [2, 3]));
  expect(topological([c, b])).toEqual([x, a, b, c]);
  expect(topological([c], new Set([a]))).toEqual([a, b, c]);
});
