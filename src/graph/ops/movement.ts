/**
 * Moving and viewing elements without changing them: reshape, transpose, expand, slice, concat.
 */
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
} from '../shape.ts';
import type { Value } from '../value.ts';
import { makeNode } from './define.ts';

/** The same elements, in the same order, under another shape. */
export function reshape(y: Value, sizes: Shape): Value {
  const shape = canonicalShape(sizes);
  const x = y.op === 'reshape' ? y.inputs[0]! : y; // two reshapes in a row are one
  if (sameShape(x.shape, shape)) return x;
  if (mulDims(...x.shape) !== mulDims(...shape)) {
    throw new Error(`reshape: ${showShape(x.shape)} and ${showShape(shape)} differ in their number of elements`);
  }
  return makeNode({
    op: 'reshape',
    inputs: [x],
    shape,
    dtype: x.dtype,
    emit: (emitter, [name]) => {
      const symbolic = shape.filter((dim) => typeof dim === 'string');
      // The runtime can infer one unknown size (-1); several must be computed from the inputs.
      const target =
        symbolic.length === 1
          ? emitter.constant(
              'int64',
              [shape.length],
              shape.map((dim) => (typeof dim === 'string' ? -1 : dim)),
            )
          : emitter.shapeVector(shape);
      // Without allowzero, a size that is 0 at run time would mean "as in x".
      return emitter.node('Reshape', [name!, target], { allowzero: symbolic.length === 1 ? 0 : 1 });
    },
    vjp: (dy) => [() => reshape(dy, x.shape)],
  });
}

/** Axes in a new order: result axis i is axis permutation[i] of x. */
export function transpose(x: Value, permutation: readonly number[]): Value {
  if ([...permutation].sort((a, b) => a - b).some((axis, i) => axis !== i) || permutation.length !== x.shape.length) {
    throw new Error(`transpose: [${permutation}] is no permutation of the axes of ${showShape(x.shape)}`);
  }
  const inverse = permutation.map((_, i) => permutation.indexOf(i));
  return makeNode({
    op: 'transpose',
    inputs: [x],
    shape: permutation.map((axis) => x.shape[axis]!),
    dtype: x.dtype,
    emit: (emitter, names) => emitter.node('Transpose', names, { perm: permutation }),
    vjp: (dy) => [() => transpose(dy, inverse)],
  });
}

/** Repeats axes of size 1 to reach `shape`. */
export function expand(x: Value, sizes: Shape): Value {
  const shape = canonicalShape(sizes);
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcastShapes(x.shape, shape, 'expand'), shape)) {
    throw new Error(`expand: ${showShape(x.shape)} cannot be expanded to ${showShape(shape)}`);
  }
  return makeNode({
    op: 'expand',
    inputs: [x],
    shape,
    dtype: x.dtype,
    emit: (emitter, [name]) => emitter.node('Expand', [name!, emitter.shapeVector(shape)]),
    vjp: (dy) => [() => dy], // the reverse walk sums what was repeated
  });
}

/** Elements [start, end) of one axis, both counted from its beginning. */
export function slice(x: Value, axis: number, start: Dim, end: Dim): Value {
  const index = normaliseAxis(axis, x.shape.length, 'slice');
  if ([start, subDims(end, start), subDims(x.shape[index]!, end)].some(isNegative)) {
    throw new Error(`slice: ${start}..${end} does not lie within axis ${axis} of ${showShape(x.shape)}`);
  }
  return makeNode({
    op: 'slice',
    inputs: [x],
    shape: x.shape.map((dim, i) => (i === index ? subDims(end, start) : dim)),
    dtype: x.dtype,
    emit: (emitter, [name]) =>
      emitter.node('Slice', [
        name!,
        emitter.shapeVector([start]),
        emitter.shapeVector([end]),
        emitter.constant('int64', [1], [index]),
      ]),
    vjp: (dy) => [() => pad(dy, index, start, subDims(x.shape[index]!, end))],
  });
}

/** Adds zeros before and after along one axis. */
export function pad(x: Value, axis: number, before: Dim, after: Dim): Value {
  const rank = x.shape.length;
  const index = normaliseAxis(axis, rank, 'pad');
  if ([before, after].some(isNegative)) throw new Error(`pad: ${before} and ${after} must not be negative`);
  const amount = (size: Dim): Dim[] => x.shape.map((_, i) => (i === index ? size : 0));
  const end = addDims(before, x.shape[index]!);
  return makeNode({
    op: 'pad',
    inputs: [x],
    shape: x.shape.map((dim, i) => (i === index ? addDims(before, dim, after) : dim)),
    dtype: x.dtype,
    emit: (emitter, [name]) => emitter.node('Pad', [name!, emitter.shapeVector([...amount(before), ...amount(after)])]),
    vjp: (dy) => [() => slice(dy, index, before, end)],
  });
}

/** Joins values along one axis. */
export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values;
  if (first === undefined) throw new Error('concat: expected at least one value');
  const index = normaliseAxis(axis, first.shape.length, 'concat');
  for (const { shape, dtype } of values) {
    if (dtype !== first.dtype) throw new Error(`concat: element types differ, ${first.dtype} and ${dtype}`);
    if (!sameShape(shape.toSpliced(index, 1), first.shape.toSpliced(index, 1))) {
      throw new Error(`concat: ${showShape(shape)} does not join ${showShape(first.shape)} along axis ${axis}`);
    }
  }
  const ends = values.map((_, i) => addDims(...values.slice(0, i + 1).map(({ shape }) => shape[index]!)));
  return makeNode({
    op: 'concat',
    inputs: values,
    shape: first.shape.with(index, ends.at(-1)!),
    dtype: first.dtype,
    emit: (emitter, names) => emitter.node('Concat', names, { axis: index }),
    vjp: (dy) => values.map((_, i) => () => slice(dy, index, i === 0 ? 0 : ends[i - 1]!, ends[i]!)),
  });
}

// --- internal ---

/** Whether a size is known to be negative; symbolic sizes are not checked. */
const isNegative = (dim: Dim): boolean => typeof dim === 'number' && dim < 0;
