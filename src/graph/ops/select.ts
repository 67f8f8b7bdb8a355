/**
 * Discrete choices: the largest elements and their positions. Sampling uses them; they have no gradient.
 */
import type { Emitter } from '../emitter.ts';
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
    emit: (emitter, [name]) => {
      const columns = x.shape[1]!;
      if (emitter.kernels.int64 || typeof columns !== 'number') {
        const column = emitter.node('ArgMax', [name!], { axis: 1, keepdims: 1, select_last_index: 0 });
        return emitCast(emitter, column, 'float32');
      }
      return emitFirstLargest(emitter, name!, columns);
    },
    vjp: none('a column number is discrete'),
  });
}

// --- internal ---

/** The least column whose element is the row's largest, in float32 alone. A row with NaN has none, and gets the last column. */
function emitFirstLargest(emitter: Emitter, name: string, columns: number): string {
  const over = emitter.constant('int64', [1], [1]);
  const largest = emitter.node('ReduceMax', [name, over], { keepdims: 1 });
  const numbers = emitColumnNumbers(emitter, columns);
  const last = emitter.constant('float32', [], [columns - 1]);
  const candidates = emitter.node('Where', [emitter.node('Equal', [name, largest]), numbers, last]);
  return emitter.node('ReduceMin', [candidates, over], { keepdims: 1 });
}

/** 0, 1, 2, ... in float32: [columns]. ONNX Runtime computes it once, when it compiles the graph. */
function emitColumnNumbers(emitter: Emitter, columns: number): string {
  const [first, end, step] = [0, columns, 1].map((value) => emitter.constant('float32', [], [value]));
  return emitter.node('Range', [first!, end!, step!]);
}

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
      if (output === 0) return values;
      if (emitter.kernels.int64 || typeof columns !== 'number') return emitCast(emitter, `${values}.1`, 'float32');
      // As an index, int64 is known to devices that convert none.
      return emitter.node('Gather', [emitColumnNumbers(emitter, columns), `${values}.1`], { axis: 0 });
    },
    vjp: none('a choice of the largest elements is discrete'),
  });
}
