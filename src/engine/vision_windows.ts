/**
 * Cuts the windows of a vision block into pieces that one run of attention may take.
 * Knows counts and FLOP, not tensors.
 */
import type { WindowRun } from '../models/architecture.ts';
import { piecesOf } from './row_chunks.ts';
import { RUN_FLOP } from './run_limits.ts';

/**
 * The windows of a run, in pieces of whole windows.
 *
 * @param width width of queries, keys and values
 * @param times FLOP of the run, in forwards
 */
export function windowPieces({ start, windows, size }: WindowRun, width: number, times = 1): WindowRun[] {
  const most = Math.max(1, Math.floor(RUN_FLOP / (times * 4 * width * size ** 2)));
  return piecesOf(windows, most).map((piece) => ({
    start: start + piece.start * size,
    windows: piece.end - piece.start,
    size,
  }));
}

/** A single window that is still too long, such as a whole image, in pieces of its query rows; other runs as they are. */
export function queryPieces(run: WindowRun, width: number): WindowRun[] {
  if (run.windows > 1) return [run];
  const most = Math.max(1, Math.floor(RUN_FLOP / (4 * width * run.size)));
  return piecesOf(run.size, most).map((piece) => ({
    start: run.start + piece.start,
    windows: 1,
    size: piece.end - piece.start,
  }));
}
