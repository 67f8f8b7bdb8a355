/**
 * Graphs that move rows of a tensor [n, w] by their numbers. Their result is called `moved`.
 */
import type { Graph } from '../graph/graph.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { addRowsAt, putRowsAt, takeRows } from '../graph/ops/gather.ts';
import { input } from '../graph/value.ts';

/** Row index[i] of `rows` [n, w] -> row i. */
export function gatherRows(): Graph {
  const inputs = { rows: input('rows', ['N', 'W']), index: input('index', ['M'], 'int32') };
  return { name: 'gather rows', inputs, outputs: { moved: takeRows(inputs.rows, inputs.index) } };
}

/** x [n, w] with row i of `rows` [m, w] in place of row index[i]. */
export function putRows(): Graph {
  const { x, index, rows } = inputs();
  return { name: 'put rows', inputs: { x, index, rows }, outputs: { moved: putRowsAt(x, index, rows) } };
}

/** Rows first[i] of `rows` [n, w], plus row second[i] where hasSecond[i] is 1 and not 0. */
export function pairsOfRows(): Graph {
  const [rows, hasSecond] = [input('rows', ['N', 'W']), input('hasSecond', ['M', 1])];
  const [first, second] = [input('first', ['M'], 'int32'), input('second', ['M'], 'int32')];
  const moved = add(takeRows(rows, first), mul(takeRows(rows, second), hasSecond));
  return { name: 'pairs of rows', inputs: { rows, first, second, hasSecond }, outputs: { moved } };
}

/** x [n, w] with row i of `rows` [m, w] added to row index[i]; no index occurs twice. */
export function addRows(): Graph {
  const { x, index, rows } = inputs();
  return { name: 'add rows', inputs: { x, index, rows }, outputs: { moved: addRowsAt(x, index, rows) } };
}

// --- internal ---

const inputs = () => ({
  x: input('x', ['N', 'W']),
  index: input('index', ['M'], 'int32'),
  rows: input('rows', ['M', 'W']),
});
