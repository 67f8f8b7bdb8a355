/**
 * A matrix in pieces of its rows, for a device whose largest tensor is smaller than the matrix. It stands for the whole one but
 * never becomes one tensor: the functions here take it piece by piece, and no other op does.
 */
import { addDims } from '../shape.ts';
import { none, scalar, type Value } from '../value.ts';
import { makeNode } from './define.ts';
import { add, lessOrEqual, max, min, sub, toFloat, toInt, where } from './elementwise.ts';
import { takeRows } from './gather.ts';
import { gemm } from './matmul.ts';
import { concat, reshape } from './movement.ts';

const IN_PIECES = 'in pieces';

/** Pieces [rows, width] of a frozen matrix, in order; one piece is the matrix itself. */
export function inPieces(pieces: readonly Value[]): Value {
  if (pieces.length === 1) return pieces[0]!;
  return makeNode({
    op: IN_PIECES,
    inputs: pieces,
    shape: [addDims(...pieces.map(({ shape }) => shape[0]!)), ...pieces[0]!.shape.slice(1)],
    emit: () => {
      throw new Error('internal: a matrix in pieces is taken as one tensor');
    },
    vjp: none('the weight is frozen'),
  });
}

/** x [n, in] · weight [out, in]ᵀ + bias [out] -> [n, out], for a weight in pieces or not. */
export function linearByPieces(x: Value, weight: Value, bias?: Value): Value {
  if (weight.op !== IN_PIECES) return gemm(x, weight, { transB: true, ...(bias && { plus: bias }) });
  const product = concat(
    weight.inputs.map((piece) => gemm(x, piece, { transB: true })),
    1,
  );
  return bias === undefined ? product : add(product, bias);
}

/** Rows of a table [rows, width], in pieces or not, by index [m] (int32) -> [m, width]. */
export function takeRowsByPieces(table: Value, index: Value): Value {
  if (table.op !== IN_PIECES) return takeRows(table, index);
  if (index.dtype !== 'int32') throw new Error(`takeRowsByPieces: expected an int32 index, got ${index.dtype}`);
  const [count] = index.shape;
  const number = toFloat(index); // exact below 2^24
  let start = 0;
  let taken: Value | null = null;
  for (const piece of table.inputs) {
    const rows = Number(piece.shape[0]);
    const inPiece = toInt(min(max(sub(number, start), 0), rows - 1));
    const found = takeRows(piece, inPiece);
    const isHereOrLater = lessOrEqual(scalar(start), reshape(number, [count!, 1]));
    taken = taken === null ? found : where(isHereOrLater, found, taken);
    start += rows;
  }
  return taken!;
}
