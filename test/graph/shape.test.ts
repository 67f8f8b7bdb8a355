import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addDims,
  broadcastShapes,
  canonicalShape,
  type Dim,
  mulDims,
  normaliseAxis,
  type Shape,
  sameShape,
  showShape,
  subDims,
  termsOf,
} from '../../src/graph/shape.ts';

describe('dimensions', () => {
  test.each<[Dim, Dim]>([
    [addDims('S', 1), '1+S'],
    [addDims('P', 'L'), 'L+P'],
    [addDims('S', 'S'), '2*S'],
    [addDims(2, 3), 5],
    [addDims(), 0],
    [mulDims('S', 'B', 2), '2*B*S'],
    [mulDims('P+L', 'G'), 'G*L+G*P'],
    [mulDims('S', 'S'), 'S*S'],
    [mulDims('S', 0), 0],
    [mulDims(), 1],
    [subDims('S', 1), '-1+S'],
    [subDims('P+L', 'P'), 'L'],
    [subDims('S', 'S'), 0],
    [subDims('S+3', 'S'), 3],
    [subDims(2, 5), -3],
    [mulDims(subDims('S', 1), addDims('S', 1)), '-1+S*S'],
  ])('%s is spelled %s', (got, expected) => {
    expect(got).toBe(expected);
  });

  test('terms of a polynomial', () => {
    expect(termsOf('2*B*S+S-3')).toEqual([
      { factor: 2, names: ['B', 'S'] },
      { factor: 1, names: ['S'] },
      { factor: -3, names: [] },
    ]);
    expect(termsOf(0)).toEqual([]);
  });

  test('one spelling of a shape', () => {
    expect(canonicalShape(['L*G', 'P+L', 'S+S', '2*3', 4])).toEqual(['G*L', 'L+P', '2*S', 6, 4]);
  });
});

/** Sums of products of small numbers and three names, built by the functions under test. */
const dims: fc.Arbitrary<Dim> = fc.letrec<{ dim: Dim }>((tie) => ({
  dim: fc.oneof(
    { maxDepth: 3 },
    fc.integer({ min: -4, max: 4 }),
    fc.constantFrom('A', 'B', 'Long_name2'),
    fc.tuple(tie('dim'), tie('dim')).map(([a, b]) => addDims(a, b)),
    fc.tuple(tie('dim'), tie('dim')).map(([a, b]) => mulDims(a, b)),
    fc.tuple(tie('dim'), tie('dim')).map(([a, b]) => subDims(a, b)),
  ),
})).dim;

const sizes = fc.record({
  A: fc.integer({ min: 0, max: 9 }),
  B: fc.integer({ min: 0, max: 9 }),
  Long_name2: fc.integer({ min: 0, max: 9 }),
});

/** The number a dimension stands for; by the terms that the runtime computes it from. */
const evaluate = (dim: Dim, at: Record<string, number>): number =>
  termsOf(dim).reduce(
    (sum, { factor, names }) => sum + names.reduce((product, name) => product * at[name]!, factor),
    0,
  );

describe('arithmetic on dimensions is that of the numbers they stand for', () => {
  test('sum, difference, product', () => {
    fc.assert(
      fc.property(dims, dims, sizes, (a, b, at) => {
        expect(evaluate(addDims(a, b), at)).toBe(evaluate(a, at) + evaluate(b, at));
        expect(evaluate(subDims(a, b), at)).toBe(evaluate(a, at) - evaluate(b, at));
        expect(evaluate(mulDims(a, b), at) - evaluate(a, at) * evaluate(b, at)).toBe(0);
      }),
    );
  });

  test('equal dimensions are spelled equally', () => {
    fc.assert(
      fc.property(dims, dims, dims, (a, b, c) => {
        expect(addDims(a, b)).toBe(addDims(b, a));
        expect(mulDims(a, b)).toBe(mulDims(b, a));
        expect(addDims(addDims(a, b), c)).toBe(addDims(a, addDims(b, c)));
        expect(mulDims(mulDims(a, b), c)).toBe(mulDims(a, mulDims(b, c)));
        expect(mulDims(a, addDims(b, c))).toBe(addDims(mulDims(a, b), mulDims(a, c)));
        expect(subDims(addDims(a, b), b)).toBe(addDims(a));
        expect(subDims(a, a)).toBe(0);
        expect(addDims(addDims(a))).toBe(addDims(a));
      }),
    );
  });

  test('a dimension without names is a number', () => {
    fc.assert(
      fc.property(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 }), (a, b) => {
        expect(mulDims(a, b) === a * b || (a * b === 0 && mulDims(a, b) === 0)).toBe(true);
        expect(subDims(addDims('A', a), addDims('A', b))).toBe(a - b);
      }),
    );
  });
});

describe('broadcasting', () => {
  test.each<[Shape, Shape, Shape]>([
    [[], [], []],
    [[3, 4], [4], [3, 4]],
    [[4], [3, 1], [3, 4]],
    [['N', 1], ['M'], ['N', 'M']],
    [['N', 4], [], ['N', 4]],
    [
      [1, 'N'],
      ['B', 1, 'N'],
      ['B', 1, 'N'],
    ],
    [[0], [1], [0]],
  ])('%j and %j make %j', (a, b, expected) => {
    expect(broadcastShapes(a, b, 'x')).toEqual(expected);
    expect(broadcastShapes(b, a, 'x')).toEqual(expected);
  });

  test.each<[Shape, Shape]>([
    [[3], [4]],
    [['N'], ['M']],
    [['N'], [3]],
    [[0], [2]],
  ])('%j and %j do not', (a, b) => {
    expect(() => broadcastShapes(a, b, 'mul')).toThrow(
      `mul: shapes ${showShape(a)} and ${showShape(b)} do not broadcast (${a[0]} against ${b[0]})`,
    );
  });

  test('the order of arguments does not matter, and a shape with itself stays', () => {
    const shape = fc.array(fc.constantFrom<Dim>(1, 2, 'N'), { maxLength: 4 });
    const attempt = (a: Shape, b: Shape): Shape | null => {
      try {
        return broadcastShapes(a, b, 'x');
      } catch {
        return null;
      }
    };
    fc.assert(
      fc.property(shape, shape, (a, b) => {
        expect(attempt(a, b)).toEqual(attempt(b, a));
        expect(attempt(a, a)).toEqual(a);
      }),
    );
  });
});

test('same shape', () => {
  expect(sameShape(['N', 4], ['N', 4])).toBe(true);
  expect(sameShape(['N', 4], ['N', 4, 1])).toBe(false);
  expect(sameShape(['N'], ['M'])).toBe(false);
});

test('axes', () => {
  expect([0, 2, -1, -3].map((axis) => normaliseAxis(axis, 3, 'x'))).toEqual([0, 2, 2, 0]);
  for (const axis of [3, -4, 0.5, Number.NaN]) {
    expect(() => normaliseAxis(axis, 3, 'sum')).toThrow(`sum: axis ${axis} is out of range for rank 3`);
  }
});
