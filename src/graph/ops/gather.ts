/**
 * Gathering rows and elements by index, and scattering them back.
 */
import { sameShape, showShape } from '../shape.ts';
import { none, scalar, type Value } from '../value.ts';
import { emitCast, makeNode, requireFloat } from './define.ts';
import { expand, reshape } from './movement.ts';

/**
 * Rows of x [n, ...] by index [m] (int32) -> [m, ...]: a permutation with gaps. Every row of x appears in the result exactly
 * once, at a position that `inverse` names; the result's other positions are padding and must get no cotangent.
 *
 * @param inverse int32 [n]: position of row i of x in the result; with it the gradient is a gather, not a scatter
 */
export function permuteRows(x: Value, index: Value, inverse: Value): Value {
  requireFloat('permuteRows', x);
  requireIndex('permuteRows', index);
  requireIndex('permuteRows', inverse);
  if (inverse.shape[0] !== x.shape[0]) {
    throw new Error(
      `permuteRows: inverse ${showShape(inverse.shape)} does not hold one position per row of ${showShape(x.shape)}`,
    );
  }
  return makeNode({
    op: 'permuteRows',
    inputs: [x, index, inverse],
    shape: [...index.shape, ...x.shape.slice(1)],
    emit: (emitter, [rows, picked]) => emitter.node('Gather', [rows!, picked!], { axis: 0 }),
    vjp: (dy) => [() => permuteRows(dy, inverse, index), null, null],
  });
}

/** Rows of x [n, ...] by index [m] (int32) -> [m, ...]. A row may be taken several times; its cotangents add up. */
export function takeRows(x: Value, index: Value): Value {
  requireFloat('takeRows', x);
  requireIndex('takeRows', index);
  return makeNode({
    op: 'takeRows',
    inputs: [x, index],
    shape: [...index.shape, ...x.shape.slice(1)],
    emit: (emitter, names) => emitter.node('Gather', names, { axis: 0 }),
    vjp: (dy) => [() => addRowsAt(zerosLike(x), index, dy), null],
  });
}

/** Element index[i] of each row i: x [n, v], index [n] (int32) -> [n, 1]. */
export function takeFromRows(x: Value, index: Value): Value {
  requireFloat('takeFromRows', x);
  requireIndex('takeFromRows', index);
  if (x.shape.length !== 2 || index.shape[0] !== x.shape[0]) {
    throw new Error(
      `takeFromRows: expected a matrix and one index per row, got ${showShape(x.shape)} and ${showShape(index.shape)}`,
    );
  }
  return makeNode({
    op: 'takeFromRows',
    inputs: [x, index],
    shape: [x.shape[0]!, 1],
    emit: (emitter, [rows, picked]) => {
      const column = emitter.node('Unsqueeze', [picked!, emitter.constant('int64', [1], [1])]);
      return emitter.node('GatherElements', [rows!, column], { axis: 1 });
    },
    vjp: (dy) => [() => addIntoRows(zerosLike(x), index, dy), null],
  });
}

/** x [n, v] with dy [n, 1] added at column index[i] of each row i -> [n, v]. */
export function addIntoRows(x: Value, index: Value, dy: Value): Value {
  requireFloat('addIntoRows', x, dy);
  requireIndex('addIntoRows', index);
  return makeNode({
    op: 'addIntoRows',
    inputs: [x, reshape(index, [index.shape[0]!, 1]), dy],
    shape: x.shape,
    emit: (emitter, names) => emitter.node('ScatterElements', names, { axis: 1, reduction: 'add' }),
    vjp: (d) => [() => d, null, () => takeFromRows(d, index)],
  });
}

/**
 * A weighted histogram of each row: weights [n, v] summed by bin, bins [n, v] (int32, at least 0, below `count`) ->
 * [n, count]. Summed in float64, because a bin may hold 100,000 nearly equal weights and float32 would round each addition
 * the same way.
 */
export function binSums(weights: Value, bins: Value, count: number): Value {
  requireFloat('binSums', weights);
  if (bins.dtype !== 'int32' || !sameShape(bins.shape, weights.shape) || bins.shape.length !== 2) {
    throw new Error(
      `binSums: expected a matrix and an int32 bin of each element, got ${showShape(weights.shape)} and ${bins.dtype} ${showShape(bins.shape)}`,
    );
  }
  const zeros = expand(reshape(scalar(0), [1, 1]), [weights.shape[0]!, count]);
  return makeNode({
    op: 'binSums',
    inputs: [zeros, bins, weights],
    shape: zeros.shape,
    emit: (emitter, [start, columns, terms]) => {
      const [start64, terms64] = [start!, terms!].map((name) => emitCast(emitter, name, 'float64'));
      const sums = emitter.node('ScatterElements', [start64!, columns!, terms64!], { axis: 1, reduction: 'add' });
      return emitCast(emitter, sums, 'float32');
    },
    vjp: none('only sampling uses it'),
  });
}

/** Slice index[i] of each row i: x [n, b, w], index [n] (int32) -> [n, w]. */
export function takeSlices(x: Value, index: Value): Value {
  requireFloat('takeSlices', x);
  requireIndex('takeSlices', index);
  if (x.shape.length !== 3 || index.shape[0] !== x.shape[0]) {
    throw new Error(
      `takeSlices: expected three axes and one index per row, got ${showShape(x.shape)} and ${showShape(index.shape)}`,
    );
  }
  return makeNode({
    op: 'takeSlices',
    inputs: [x, index],
    shape: [x.shape[0]!, x.shape[2]!],
    emit: (emitter, [rows, picked]) => {
      const column = emitter.node('Unsqueeze', [picked!, emitter.constant('int64', [1], [1])]);
      return emitter.node('GatherND', [rows!, emitCast(emitter, column, 'int64')], { batch_dims: 1 });
    },
    vjp: none('only sampling uses it'),
  });
}

/**
 * x with some slices replaced: slice i of `slices` [m, ...] goes to the position in row i of `index` [m, k] (int32), which
 * holds an index for each of x's first k axes. No position may occur twice. If the result is written to x's own buffer, only
 * these slices are touched.
 */
export function putSlices(x: Value, index: Value, slices: Value): Value {
  requireFloat('putSlices', x, slices);
  const [count, depth] = index.shape;
  const expected = typeof depth === 'number' ? [count!, ...x.shape.slice(depth)] : null;
  if (index.dtype !== 'int32' || index.shape.length !== 2 || expected === null || !sameShape(slices.shape, expected)) {
    throw new Error(
      `putSlices: ${showShape(slices.shape)} at ${index.dtype} ${showShape(index.shape)} are no slices of ${showShape(x.shape)}`,
    );
  }
  return makeNode({
    op: 'putSlices',
    inputs: [x, index, slices],
    shape: x.shape,
    emit: (emitter, [whole, positions, parts]) =>
      emitter.node('ScatterND', [whole!, emitCast(emitter, positions!, 'int64'), parts!]),
    vjp: none('only decoding uses it'),
  });
}

/**
 * x [n, ...] with row i of `rows` [m, ...] added to row index[i] (int32 [m]), which may repeat. Uses ScatterElements because ONNX
 * Runtime's ScatterND adds rows from several threads at once and loses some additions where an index repeats.
 */
export function addRowsAt(x: Value, index: Value, rows: Value): Value {
  requireFloat('addRowsAt', x, rows);
  return makeNode({
    op: 'addRowsAt',
    inputs: [x, ofElements('addRowsAt', index, rows), rows],
    shape: x.shape,
    emit: (emitter, names) => emitter.node('ScatterElements', names, { axis: 0, reduction: 'add' }),
    vjp: (d) => [() => d, null, () => takeRows(d, index)],
  });
}

/**
 * x [n, ...] with row index[i] (int32 [m]) replaced by row i of `rows` [m, ...]; no row may be replaced twice. If the result is
 * written to x's own buffer, only these rows are touched. A graphics processor writes all elements at once, where `putSlices` writes
 * those of a slice one after another.
 */
export function putRowsAt(x: Value, index: Value, rows: Value): Value {
  requireFloat('putRowsAt', x, rows);
  return makeNode({
    op: 'putRowsAt',
    inputs: [x, ofElements('putRowsAt', index, rows), rows],
    shape: x.shape,
    emit: (emitter, names) => emitter.node('ScatterElements', names, { axis: 0 }),
    vjp: none('only copies use it'),
  });
}

// --- internal ---

function zerosLike(x: Value): Value {
  const zero = reshape(
    scalar(0),
    x.shape.map(() => 1),
  );
  return expand(zero, x.shape);
}

/** The index of a row at each of its elements: [m] -> the shape of `rows` [m, ...]. */
function ofElements(op: string, index: Value, rows: Value): Value {
  requireIndex(op, index);
  return expand(reshape(index, [index.shape[0]!, ...rows.shape.slice(1).map(() => 1)]), rows.shape);
}

function requireIndex(op: string, index: Value): void {
  if (index.dtype !== 'int32' || index.shape.length !== 1) {
    throw new Error(`${op}: expected int32 indices of one axis, got ${index.dtype} ${showShape(index.shape)}`);
  }
}
