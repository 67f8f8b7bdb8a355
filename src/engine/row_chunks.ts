/**
 * Cuts long kernel runs into pieces of their rows, because a run blocks the event loop until it ends.
 * Knows counts and FLOP, not what is computed.
 */
import type { Module } from '../graph/module.ts';
import type { CompiledModule } from '../runtime/compiled_module.ts';
import type { Feeds } from '../runtime/device.ts';
import { type FloatTensor, rows } from '../runtime/tensor.ts';
import type { Accumulators } from './bindings.ts';
import { BACKWARD, FEWEST_ROWS, RUN_FLOP } from './run_limits.ts';

/** [start, end) of a count. */
export interface Piece {
  readonly start: number;
  readonly end: number;
}

/** Cuts [0, count) into the fewest pieces of nearly equal length, none longer than `most`. */
export function piecesOf(count: number, most: number): Piece[] {
  const number = Math.ceil(count / most);
  return Array.from({ length: number }, (_, i) => ({
    start: Math.floor((i * count) / number),
    end: Math.floor(((i + 1) * count) / number),
  }));
}

/** Rows that a module of linear layers may take in one run, where that costs `times` its forward's FLOP. */
export function mostRows({ params }: Module, times = 1): number {
  const weights = Object.values(params).filter(({ length }) => length === 2);
  const flop = 2 * weights.reduce((sum, [out, inner]) => sum + Number(out) * Number(inner), 0);
  return Math.max(FEWEST_ROWS, Math.floor(RUN_FLOP / (times * flop)));
}

/** Tensors that a module takes or returns by rows; feeds have an `x`. */
export type RowTensors = Readonly<Record<string, FloatTensor>>;

/** A module's forward, piece by piece of its rows. */
export async function forwardInPieces(
  module: CompiledModule,
  run: 'forward' | 'forwardKeeping',
  weights: Feeds,
  feeds: RowTensors,
  into: RowTensors,
): Promise<void> {
  for (const piece of piecesOf(rowsOf(feeds), mostRows(module.module))) {
    await module[run]({ ...weights, ...cutRows(feeds, piece) }, cutRows(into, piece));
  }
}

/** A module's backward, piece by piece: weight gradients add up in their accumulators. */
export async function backwardInPieces(
  module: CompiledModule,
  weights: Feeds,
  gradients: Accumulators,
  feeds: RowTensors,
  into: RowTensors,
  kept?: RowTensors,
): Promise<void> {
  for (const piece of piecesOf(rowsOf(feeds), mostRows(module.module, BACKWARD))) {
    await module.backward(
      { ...weights, ...gradients.feeds, ...cutRows(feeds, piece) },
      { ...gradients.into, ...cutRows(into, piece) },
      kept === undefined ? undefined : cutRows(kept, piece),
    );
  }
}

/** The rows of a piece in every tensor. */
export function cutRows(tensors: RowTensors, { start, end }: Piece): RowTensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, rows(tensor, start, end)]));
}

// --- internal ---

const rowsOf = (feeds: RowTensors): number => feeds.x!.dims[0]!;
