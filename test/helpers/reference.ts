/**
 * Plain float64 arrays for reference values: written for reading, not for speed.
 */
import { sizeOf } from '../../src/runtime/tensor.ts';
import type { Reference } from './check_op.ts';

/** The elements of an array of these sizes, in order, from a function of the index. */
export function tabulate(dims: readonly number[], f: (...index: number[]) => number): number[] {
  return Array.from({ length: sizeOf(dims) }, (_, flat) => f(...indexOf(flat, dims)));
}

/** f of the elements of arrays of these sizes, broadcast against each other as numpy does. */
export function pointwise(f: (...xs: number[]) => number, ...dims: (readonly number[])[]): Reference {
  const rank = Math.max(...dims.map(({ length }) => length));
  const padded = dims.map((sizes) => [...Array<number>(rank - sizes.length).fill(1), ...sizes]);
  const out = Array.from({ length: rank }, (_, axis) => Math.max(...padded.map((sizes) => sizes[axis]!)));
  return (...columns) =>
    tabulate(out, (...index) => f(...columns.map((column, i) => column[flatten(index, padded[i]!)]!)));
}

/** The rows of a row-major array as arrays of their own. */
export function rowsOf(x: readonly number[], width: number): number[][] {
  return Array.from({ length: x.length / width }, (_, i) => x.slice(i * width, (i + 1) * width));
}

/** x [c, n] with its c in blocks of channels: block, n, channel within the block. */
export const inBlocksOf =
  (block: number) =>
  (c: number, n: number, at: (channel: number, i: number) => number): number[] =>
    Array.from({ length: c * n }, (_, flat) => {
      const row = Math.floor(flat / block);
      return at(Math.floor(row / n) * block + (flat % block), row % n);
    });

/** Of any number of elements; Math.max takes some 100,000. */
export const largest = (xs: readonly number[]): number => xs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);

export const total = (xs: readonly number[]): number => xs.reduce((sum, x) => sum + x, 0);

// --- internal ---

function indexOf(flat: number, dims: readonly number[]): number[] {
  const index = [...dims];
  let rest = flat;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    index[axis] = rest % dims[axis]!;
    rest = Math.floor(rest / dims[axis]!);
  }
  return index;
}

/** Place of an index in an array that repeats its axes of size 1. */
const flatten = (index: readonly number[], dims: readonly number[]): number =>
  dims.reduce((flat, size, axis) => flat * size + (size === 1 ? 0 : index[axis]!), 0);
