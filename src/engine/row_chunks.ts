/**
 * Cuts long kernel runs into pieces of their rows, because a run blocks the event loop until it ends.
 * Knows counts and FLOP, not what is computed.
 */
import type { CompiledModule } from '../runtime/compiled_module.ts';
import type { Device, Feeds } from '../runtime/device.ts';
import type { Tensor } from '../runtime/tensor.ts';
import type { Accumulators } from './bindings.ts';
import { BACKWARD, FEWEST_ROWS, RUN_BYTES, RUN_FLOP } from './run_limits.ts';

/** [start, end) of a count. */
export interface Piece {
  readonly start: number;
  readonly end: number;
}

/** Cuts [0, count) into the fewest pieces of nearly equal length, none longer than `most`. */
export function piecesOf(count: number, most: number): Piece[] {
  const number = count === 0 ? 0 : Math.max(1, Math.ceil(count / most));
  return Array.from({ length: number }, (_, i) => ({
    start: Math.floor((i * count) / number),
    end: Math.floor(((i + 1) * count) / number),
  }));
}

/**
 * Rows that a module of linear layers may take in one run, where that costs `times` its forward's FLOP and memory. A device with
 * memory of its own does not block the event loop; there, memory is the limit.
 */
export function mostRows({ module: { params }, device }: Pick<CompiledModule, 'module' | 'device'>, times = 1): number {
  const weights = Object.values(params).filter(({ length }) => length === 2);
  if (!device.sharesMemory) {
    const width = weights.reduce((sum, [out]) => sum + Number(out), 0);
    return Math.max(FEWEST_ROWS, Math.floor(RUN_BYTES / (times * Float32Array.BYTES_PER_ELEMENT * width)));
  }
  const flop = 2 * weights.reduce((sum, [out, inner]) => sum + Number(out) * Number(inner), 0);
  return Math.max(FEWEST_ROWS, Math.floor(RUN_FLOP / (times * flop)));
}

/** Tensors that a module takes or returns by rows; feeds have an `x`. */
export type RowTensors = Readonly<Record<string, Tensor>>;

/** A module's forward, piece by piece of its rows. */
export async function forwardInPieces(
  module: CompiledModule,
  run: 'forward' | 'forwardKeeping',
  weights: Feeds,
  feeds: RowTensors,
  into: RowTensors,
): Promise<void> {
  for (const piece of piecesOf(rowsOf(feeds), mostRows(module))) {
    const cut = (tensors: RowTensors): RowTensors => cutRows(module.device, tensors, piece);
    await module[run]({ ...weights, ...cut(feeds) }, cut(into));
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
  for (const piece of piecesOf(rowsOf(feeds), mostRows(module, BACKWARD))) {
    const cut = (tensors: RowTensors): RowTensors => cutRows(module.device, tensors, piece);
    await module.backward(
      { ...weights, ...gradients.feeds, ...cut(feeds) },
      { ...gradients.into, ...cut(into) },
      kept === undefined ? undefined : cut(kept),
    );
  }
}

/** The rows of a piece in every tensor. */
export function cutRows(device: Device, tensors: RowTensors, { start, end }: Piece): RowTensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, device.rows(tensor, start, end)]));
}

// --- internal ---

const rowsOf = (feeds: RowTensors): number => feeds.x!.dims[0]!;
