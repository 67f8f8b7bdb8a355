/**
 * Discrete choices: the largest elements and their positions. Sampling uses them; they have no gradient.
 */
import { none, type Value } from '../value.ts';
import { emitCast, makeNode, requireFloat } from './define.ts';

/** The `count` largest elements of each row, in descending order: x [n, v] -> [n, count]. */
export function topValues(x: Value, count: number): Value {
  return top('topValues', x, count, 0);
}

/** Columns of the `count` largest elements of each row, as float32 (exact up to 2^24): x [n, v] -> [n, count]. */
export function topIndices(x: Value, count: number): Value {
  return top('topIndices', x, count, 1);
}

/** Column of each row's largest element, the first one if several are equal, as float32: x [n, v] -> [n, 1]. */
export function argMax(x: Value): Value {
  requireFloat('argMax', x);
  return makeNode({
    op: 'argMax',
    inputs: [x],
    shape: [x.shape[0]!, 1],
    emit: (emitter, names) => {
      const column = emitter.node('ArgMax', names, { axis: 1, keepdims: 1, select_last_index: 0 });
      return emitCast(emitter, column, 'float32');
    },
    vjp: none('a column number is discrete'),
  });
}

// --- internal ---

function top(op: string, x: Value, count: number, output: 0 | 1): Value {
  requireFloat(op, x);
  const columns = x.shape[1];
  if (typeof columns === 'number' && count > columns) {
    throw new Error(`${op}: asked for the ${count} largest of ${columns} columns`);
  }
  return makeNode({
    op,
    inputs: [x],
    shape: [x.shape[0]!, count],
    emit: (emitter, [name]) => {
      const inputs = [name!, emitter.constant('int64', [1], [count])];
      const values = emitter.node('TopK', inputs, { axis: 1, largest: 1, sorted: 1 }, '', 2);
      return output === 0 ? values : emitCast(emitter, `${values}.1`, 'float32');
    },
    vjp: none('a choice of the largest elements is discrete'),
  });
}
