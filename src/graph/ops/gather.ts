/**
 * Picking rows and elements by index, and putting them back.
 */
import type { Dim } from '../shape.ts';
import { none, scalar, type Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';
import { expand, reshape } from './movement.ts';

/**
 * Rows of x [n, ...] by index [m] (int32), where every row of x that matters stands in the result exactly once
 * and other places of the result are padding: a permutation with gaps.
 *
 * @param inverse [n]: where row i of x stands in the result; pulls the cotangent back without a scatter
 */
export function permuteRows(x: Value, index: Value, inverse: Value): Value {
  requireFloat('permuteRows', x);
  return makeNode({
    op: 'permuteRows',
    inputs: [x, index, inverse],
    shape: [...index.shape, ...x.shape.slice(1)],
    emit: (emitter, [rows, picked]) => emitter.node('Gather', [rows!, picked!], { axis: 0 }),
    vjp: (dy) => [() => permuteRows(dy, inverse, index), null, null],
  });
}

/** Rows of x [n, ...] by index [m] (int32); a row may be taken often, its cotangents add up. */
export function takeRows(x: Value, index: Value): Value {
  requireFloat('takeRows', x);
  return makeNode({
    op: 'takeRows',
    inputs: [x, index],
    shape: [...index.shape, ...x.shape.slice(1)],
    emit: (emitter, names) => emitter.node('Gather', names, { axis: 0 }),
    vjp: (dy) => [() => scatterAddRows(dy, index, x), null],
  });
}

/** Element index[i] of each row i: x [n, v], index [n] (int32) -> [n, 1]. */
export function takeFromRows(x: Value, index: Value): Value {
  requireFloat('takeFromRows', x);
  const n: Dim = x.shape[0]!;
  return makeNode({
    op: 'takeFromRows',
    inputs: [x, index],
    shape: [n, 1],
    emit: (emitter, [rows, picked]) =>
      emitter.node(
        'GatherElements',
        [rows!, emitter.node('Unsqueeze', [picked!, emitter.constant('int64', [1], [1])])],
        {
          axis: 1,
        },
      ),
    vjp: (dy) => [() => scatterIntoRows(dy, index, x), null],
  });
}

// --- internal ---

/** zeros like x, with row i of dy added to row index[i]. */
function scatterAddRows(dy: Value, index: Value, x: Value): Value {
  const zeros = expand(
    reshape(
      scalar(0),
      x.shape.map(() => 1),
    ),
    x.shape,
  );
  return makeNode({
    op: 'scatterAddRows',
    inputs: [zeros, index, dy],
    shape: x.shape,
    emit: (emitter, [into, rows, updates]) => {
      const column = emitter.node('Unsqueeze', [rows!, emitter.constant('int64', [1], [1])]);
      const wide = emitter.node('Cast', [column], { to: 7 }); // ScatterND takes int64 only
      return emitter.node('ScatterND', [into!, wide, updates!], { reduction: 'add' });
    },
    vjp: none('only gradients use it'),
  });
}

/** zeros like x [n, v], with dy [n, 1] put at column index[i] of row i. */
function scatterIntoRows(dy: Value, index: Value, x: Value): Value {
  const zeros = expand(reshape(scalar(0), [1, 1]), x.shape);
  return makeNode({
    op: 'scatterIntoRows',
    inputs: [zeros, index, dy],
    shape: x.shape,
    emit: (emitter, [into, picked, updates]) => {
      const column = emitter.node('Unsqueeze', [picked!, emitter.constant('int64', [1], [1])]);
      return emitter.node('ScatterElements', [into!, column, updates!], { axis: 1 });
    },
    vjp: none('only gradients use it'),
  });
}
