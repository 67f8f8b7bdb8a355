import * as ops from '../../../src/graph/ops/elementwise.ts';
import { input, type Value } from '../../../src/graph/value.ts';
import { cpu } from '../../../src/runtime/cpu.ts';
import type { Argument, OpCase } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { pointwise } from '../../helpers/reference.ts';

/** Pairs that broadcast in every way: equal, by rank, by ones, both ways, against scalars; by number and by name. */
const pairs: readonly (readonly [Argument, Argument])[] = [
  [{ dims: [3, 4] }, { dims: [3, 4] }],
  [{ dims: [3, 4], shape: ['N', 4] }, { dims: [4] }],
  [{ dims: [4] }, { dims: [3, 4], shape: ['N', 4] }],
  [
    { dims: [3, 1], shape: ['N', 1] },
    { dims: [4], shape: ['M'] },
  ],
  [{ dims: [1, 4] }, { dims: [2, 3, 1] }],
  [
    { dims: [2, 3, 4], shape: ['B', 'N', 'M'] },
    { dims: [3, 1], shape: ['N', 1] },
  ],
  [{ dims: [3, 4] }, { dims: [] }],
  [{ dims: [] }, { dims: [3, 4], shape: ['N', 'M'] }],
  [{ dims: [] }, { dims: [] }],
  [{ dims: [1] }, { dims: [1, 1, 2] }],
];

type Binary = (a: Value | number, b: Value | number) => Value;

function binary(build: Binary, f: (a: number, b: number) => number, b: Partial<Argument> = {}): OpCase[] {
  const both = pairs.map(([left, right]) => ({
    args: [left, { ...right, ...b }],
    build: (x: Value, y: Value) => build(x, y),
    reference: pointwise((x, y) => f(x!, y!), left.dims, right.dims),
  }));
  const dims = [3, 2];
  return [
    ...both,
    {
      name: 'number right',
      args: [{ dims }],
      build: (x) => build(x, 0.75),
      reference: pointwise((x) => f(x!, 0.75), dims),
    },
    {
      name: 'number left',
      args: [{ dims, ...b }],
      build: (x) => build(0.75, x),
      reference: pointwise((x) => f(0.75, x!), dims),
    },
    {
      name: 'with itself',
      args: [{ dims, ...b }],
      build: (x) => build(x, x),
      reference: pointwise((x) => f(x!, x!), dims),
    },
  ];
}

function unary(build: (x: Value) => Value, f: (x: number) => number, range: Partial<Argument> = {}): OpCase[] {
  const shapes: Argument[] = [{ dims: [3, 4] }, { dims: [2, 3, 2], shape: ['B', 'N', 2] }, { dims: [] }];
  return shapes.map((x) => ({ args: [{ ...x, ...range }], build, reference: pointwise((value) => f(value!), x.dims) }));
}

/** In the tests on a device that stands in the CPU's place: its kernels may give infinity or 0 for NaN (docs/gpu.md). */
const numbersOfNaN = (cases: readonly OpCase[]): readonly OpCase[] =>
  cpu.name === 'cpu' ? cases : cases.map((opCase) => ({ ...opCase, nan: false }));

/** The error function by its Taylor series, exact to 1e-15 for |x| < 3. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 60; n++) {
    term *= -(x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const positive = { low: 0.3, high: 3 };
const apart = { low: 0.4, high: 2 };
const noComparison = /no gradient through 'toFloat': its input is not a real number/;
const [float, int] = [{ dims: [2, 3] }, { dims: [2, 3], dtype: 'int32', data: [3, -1, 4, 1, -5, 9] }] as const;

describeOps(
  ops,
  {
    add: binary(ops.add, (a, b) => a + b),
    sub: binary(ops.sub, (a, b) => a - b),
    mul: binary(ops.mul, (a, b) => a * b),
    div: binary(ops.div, (a, b) => a / b, apart),
    max: binary(ops.max, Math.max),
    min: binary(ops.min, Math.min),
    neg: unary(ops.neg, (x) => -x),
    exp: numbersOfNaN(unary(ops.exp, Math.exp)),
    sqrt: unary(ops.sqrt, Math.sqrt, positive),
    square: unary(ops.square, (x) => x * x),
    tanh: unary(ops.tanh, Math.tanh),
    sigmoid: numbersOfNaN(unary(ops.sigmoid, sigmoid)),
    erf: unary(ops.erf, erf),
    silu: unary(ops.silu, (x) => x * sigmoid(x)),
    quickGelu: unary(ops.quickGelu, (x) => x * sigmoid(1.702 * x)),
    geluTanh: unary(ops.geluTanh, (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
    gelu: unary(ops.gelu, (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2))),
    lessOrEqual: [
      ...pairs.map(([a, b]) => ({
        args: [a, b],
        build: (x: Value, y: Value) => ops.toFloat(ops.lessOrEqual(x, y)),
        reference: pointwise((x, y) => Number(x! <= y!), a.dims, b.dims),
        notDifferentiable: noComparison,
      })),
      {
        args: [int, { dims: [3], dtype: 'int32', data: [3, -2, 4] }],
        build: (x, y) => ops.toFloat(ops.lessOrEqual(x, y)),
        reference: pointwise((x, y) => Number(x! <= y!), [2, 3], [3]),
      },
    ],
    where: [
      {
        args: [{ dims: [2, 3] }, { dims: [3] }, { dims: [2, 1] }],
        build: (a, b, c) => ops.where(ops.lessOrEqual(a, b), b, c),
        reference: pointwise((a, b, c) => (a! <= b! ? b! : c!), [2, 3], [3], [2, 1]),
      },
      {
        args: [
          { dims: [1, 3], shape: [1, 'M'] },
          { dims: [2, 1], shape: ['N', 1] },
        ],
        build: (a, b) => ops.where(ops.lessOrEqual(a, b), ops.exp(a), 0),
        reference: pointwise((a, b) => (a! <= b! ? Math.exp(a!) : 0), [1, 3], [2, 1]),
      },
      {
        name: 'scalar condition, wide choices',
        args: [{ dims: [] }, { dims: [4, 2] }],
        build: (a, b) => ops.where(ops.lessOrEqual(a, ops.square(a)), b, 7),
        reference: pointwise((a, b) => (a! <= a! * a! ? b! : 7), [], [4, 2]),
      },
      { name: 'integers', args: [int], build: (x) => ops.where(ops.lessOrEqual(x, x), x, x), reference: (x) => x },
    ],
    toInt: [
      {
        args: [{ dims: [2, 2], data: [3, -7, 0, 5] }],
        build: (x) => ops.toFloat(ops.toInt(x)),
        reference: (x) => x,
        notDifferentiable: noComparison,
        nan: false,
      },
      {
        name: 'drops the fraction',
        args: [{ dims: [4], data: [2.75, -2.75, 0.5, -0.5], constant: true }],
        build: (x) => ops.toFloat(ops.toInt(x)),
        reference: pointwise((x) => Math.trunc(x!) + 0, [4]),
        nan: false,
      },
    ],
    toFloat: [
      { args: [int], build: ops.toFloat, reference: (x) => x },
      { name: 'float32 stays itself', args: [float], build: ops.toFloat, reference: (x) => x },
    ],
  },
  [
    [
      'sizes that do not broadcast',
      () => ops.add(input('a', [3, 4]), input('b', [3])),
      /add: shapes \[3, 4\] and \[3\] do not broadcast \(4 against 3\)/,
    ],
    [
      'different names, which might differ',
      () => ops.mul(input('a', ['N']), input('b', ['M'])),
      /mul: shapes \[N\] and \[M\] do not broadcast/,
    ],
    [
      'integers in arithmetic',
      () => ops.add(input('a', [3], 'int32'), 1),
      /add: expected float32, got int32 \(input a\)/,
    ],
    ['integers in a function', () => ops.exp(input('a', [3], 'int32')), /exp: expected float32, got int32 \(input a\)/],
    [
      'comparing two element types',
      () => ops.lessOrEqual(input('a', [3]), input('b', [3], 'int32')),
      /lessOrEqual: element types differ, float32 and int32/,
    ],
    [
      'a condition that is no bool',
      () => ops.where(input('a', [3]), 1, 0),
      /where: expected a bool condition, got float32/,
    ],
    [
      'choices of two element types',
      () => ops.where(input('c', [3], 'bool'), input('b', [3], 'int32'), 0),
      /where: element types differ, int32 and float32/,
    ],
  ],
);
