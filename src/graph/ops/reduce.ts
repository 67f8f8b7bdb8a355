/**
 * Sums, means and extrema over axes; softmax and its logarithm over the last axis.
 */
import type { Emitter } from '../emitter.ts';
import { type Dim, normaliseAxis, type Shape } from '../shape.ts';
import { type NotDifferentiable, none, type Value, type VjpRule } from '../value.ts';
import { emitCast, makeNode, requireFloat } from './define.ts';
import { exp, mul, neg, sub } from './elementwise.ts';
import { addIntoRows, takeFromRows } from './gather.ts';
import { expand, reshape } from './movement.ts';

/** Sum over axes; with `keepDims` they stay, with size 1. */
export function sum(x: Value, axes: readonly number[], keepDims = false): Value {
  return reduce('sum', 'ReduceSum', x, axes, keepDims, (dy) => [() => spread(dy, x, axes)]);
}

export function mean(x: Value, axes: readonly number[], keepDims = false): Value {
  return reduce('mean', 'ReduceMean', x, axes, keepDims, (dy) => {
    const count = axes.reduce((product, axis) => {
      const dim = x.shape[normaliseAxis(axis, x.shape.length, 'mean')]!;
      if (typeof dim !== 'number') throw new Error(`mean: gradient over a symbolic axis '${dim}' is not supported`);
      return product * dim;
    }, 1);
    return [() => mul(spread(dy, x, axes), 1 / count)];
  });
}

/** Largest element over axes. */
export function reduceMax(x: Value, axes: readonly number[], keepDims = false): Value {
  return reduce(
    'reduceMax',
    'ReduceMax',
    x,
    axes,
    keepDims,
    none('it is only used where its gradient cancels or is discrete'),
  );
}

/** log of the softmax over the last axis, computed without forming the softmax. */
export function logSoftmax(x: Value): Value {
  requireFloat('logSoftmax', x);
  normaliseAxis(-1, x.shape.length, 'logSoftmax');
  return makeNode({
    op: 'logSoftmax',
    inputs: [x],
    shape: x.shape,
    emit: (emitter, [name]) => {
      if (emitter.kernels.logSoftmax) return emitter.node('LogSoftmax', [name!], { axis: -1 });
      const over = [emitter.constant('int64', [1], [x.shape.length - 1])];
      const shifted = emitter.node('Sub', [name!, emitter.node('ReduceMax', [name!, ...over], { keepdims: 1 })]);
      const total = emitter.node('ReduceSum', [emitter.node('Exp', [shifted]), ...over], { keepdims: 1 });
      return emitter.node('Sub', [shifted, emitter.node('Log', [total])]);
    },
    vjp: (dy, y) => [() => sub(dy, mul(exp(y), sum(dy, [-1], true)))],
  });
}

/**
 * Element index[i] of the log-softmax of each row i: x [n, v], index [n] (int32) -> [n, 1]. The gradient,
 * (onehot(index) - softmax) dy, takes three passes after the log-softmax; that of `takeFromRows(logSoftmax(x))` takes six.
 *
 * @param logs the log-softmax of x, if the caller needs it elsewhere too
 */
export function logSoftmaxAt(x: Value, index: Value, logs: Value = logSoftmax(x)): Value {
  const picked = takeFromRows(logs, index);
  return makeNode({
    op: 'logSoftmaxAt',
    inputs: [picked, x, index],
    shape: picked.shape,
    emit: (_, [name]) => name!,
    vjp: (dy) => [null, () => addIntoRows(mul(exp(logs), neg(dy)), index, dy), null],
  });
}

/**
 * softmax over the last axis. Where its kernel gives 0 for what is not a number, a row is divided by its sum, which is 1 within
 * rounding, or 0: without it, attention would end a model's infinite scores as zeros that look like numbers.
 */
export function softmax(x: Value): Value {
  requireFloat('softmax', x);
  normaliseAxis(-1, x.shape.length, 'softmax');
  return makeNode({
    op: 'softmax',
    inputs: [x],
    shape: x.shape,
    emit: (emitter, names) => {
      const shares = emitter.node('Softmax', names, { axis: -1 });
      if (emitter.kernels.softmaxOfNaN) return shares;
      const over = emitter.constant('int64', [1], [x.shape.length - 1]);
      return emitter.node('Div', [shares, emitter.node('ReduceSum', [shares, over], { keepdims: 1 })]);
    },
    vjp: (dy, y) => [() => mul(y, sub(dy, sum(mul(dy, y), [-1], true)))],
  });
}

/**
 * Cumulative sum along the last axis as a share of the total. The last share is exactly 1. Summed in float64, every share
 * carries one rounding to float32, whatever the order in which a kernel adds.
 *
 * A device without float64 sums short rows in float32, by a product with a triangle of ones. (Its kernel for CumSum adds up
 * every element anew.) A share there carries up to as many roundings as it has terms; shares still never fall, and stay equal over zeros,
 * because every column adds the same terms in the same order.
 */
export function cumulativeShare(x: Value): Value {
  requireFloat('cumulativeShare', x);
  const axis = normaliseAxis(-1, x.shape.length, 'cumulativeShare');
  return makeNode({
    op: 'cumulativeShare',
    inputs: [x],
    shape: x.shape,
    emit: (emitter, [name]) => {
      const last = emitter.constant('int64', [1], [-1]);
      const shareOf = (running: string): string =>
        emitter.node('Div', [running, emitter.node('Gather', [running, last], { axis: -1 })]);
      const columns = x.shape[axis]!;
      if (!emitter.kernels.float64 && typeof columns === 'number' && columns <= LONGEST_TRIANGLE)
        return shareOf(emitRunningSum(emitter, name!, columns));
      const terms = emitCast(emitter, name!, 'float64');
      const running = emitter.node('CumSum', [terms, emitter.constant('int32', [], [axis])]);
      return emitCast(emitter, shareOf(running), 'float32');
    },
    vjp: none('only sampling uses it'),
  });
}

// --- internal ---

function reduce(
  op: string,
  opType: string,
  x: Value,
  axes: readonly number[],
  keepDims: boolean,
  vjp: VjpRule | NotDifferentiable,
): Value {
  requireFloat(op, x);
  const indices = axes.map((axis) => normaliseAxis(axis, x.shape.length, op));
  // ONNX takes an empty list of axes to mean all axes.
  if (indices.length === 0) throw new Error(`${op}: expected at least one axis`);
  if (new Set(indices).size < indices.length) throw new Error(`${op}: axes [${axes}] name an axis twice`);
  const shape: Shape = x.shape.flatMap((dim, i): Dim[] => {
    if (!indices.includes(i)) return [dim];
    return keepDims ? [1] : [];
  });
  const emit = (emitter: Emitter, names: readonly string[]): string => {
    const axesVector = emitter.constant('int64', [indices.length], indices);
    return emitter.node(opType, [names[0]!, axesVector], { keepdims: keepDims ? 1 : 0 });
  };
  return makeNode({ op, inputs: [x], shape, emit, vjp });
}

/** Rows up to this long are summed by a product: its matrix takes 16 MiB. */
const LONGEST_TRIANGLE = 2048;

/** Running sums along the last axis in float32. ONNX Runtime computes the triangle once, when it compiles the graph. */
function emitRunningSum(emitter: Emitter, name: string, columns: number): string {
  const one = emitter.constant('float32', [], [1]);
  const ones = emitter.node('Expand', [one, emitter.constant('int64', [2], [columns, columns])]);
  return emitter.node('MatMul', [name, emitter.node('Trilu', [ones], { upper: 1 })]);
}

/** The cotangent of a reduction, repeated along the axes that were reduced. */
function spread(dy: Value, x: Value, axes: readonly number[]): Value {
  const indices = axes.map((axis) => normaliseAxis(axis, x.shape.length, 'sum'));
  const kept = reshape(
    dy,
    x.shape.map((dim, i) => (indices.includes(i) ? 1 : dim)),
  );
  return expand(kept, x.shape);
}
