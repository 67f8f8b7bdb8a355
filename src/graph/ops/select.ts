/**
 * Discrete choices: the largest elements and their places. Sampling uses them; nothing flows back through a choice.
 */
import { none, type Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';

/** The `count` largest of each row, largest first: x [n, v] -> [n, count]. */
export function topValues(x: Value, count: number): Value {
  return top('topValues', x, count, 0);
}

/** Their columns, as float32 (exact up to 2^24): x [n, v] -> [n, count]. */
export function topIndices(x: Value, count: number): Value {
  return top('topIndices', x, count, 1);
}

/** Column of the first largest element of each row, as float32: x [n, v] -> [n, 1]. */
export function argMax(x: Value): Value {
  requireFloat('argMax', x);
  return makeNode({
    op: 'argMax',
    inputs: [x],
    shape: [x.shape[0]!, 1],
    emit: (emitter, names) => {
      const place = emitter.node('ArgMax', names, { axis: 1, keepdims: 1, select_last_index: 0 });
      return emitter.node('Cast', [place], { to: 1 });
    },
    vjp: none('a place does not move smoothly'),
  });
}

// --- internal ---

function top(op: string, x: Value, count: number, output: 0 | 1): Value {
  requireFloat(op, x);
  const columns = x.shape[1];
  if (typeof columns === 'number' && count > columns) {
    throw new Error(`${op}: ${count} of ${columns} columns`);
  }
  return makeNode({
    op,
    inputs: [x],
    shape: [x.shape[0]!, count],
    emit: (emitter, [name]) => {
      const inputs = [name!, emitter.constant('int64', [1], [count])];
      const values = emitter.node('TopK', inputs, { axis: 1, largest: 1, sorted: 1 }, '', 2);
      return output === 0 ? values : emitter.node('Cast', [`${values}.1`], { to: 1 });
    },
    vjp: none('a choice of the largest elements is discrete'),
  });
}
