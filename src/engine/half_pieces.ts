/**
 * Weights of 16 bits in pieces of their outputs. A piece is widened into memory that the processor's cache holds.
 * Knows words and their order, not what they are multiplied by.
 */
import type { HalfWeight } from '../checkpoint/half_words.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { widened } from '../graph/ops/frozen.ts';
import { transpose } from '../graph/ops/movement.ts';
import { input } from '../graph/value.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Executable } from '../runtime/device.ts';
import { type FloatTensor, floats, type HalfTensor, halves, rows } from '../runtime/tensor.ts';
import { type Piece, piecesOf } from './row_chunks.ts';

/** Words of a piece. Widened they take 4 MiB; with fewer, the threads of the runtime would wait for each other more often. */
const PIECE_WORDS = 2 ** 20;

/** Cuts the outputs of a weight, between its blocks. */
export function halfPieces({ dims: [out, inner], block }: Pick<HalfWeight, 'dims' | 'block'>): Piece[] {
  const most = Math.max(1, Math.floor(PIECE_WORDS / (inner * block)));
  return piecesOf(out / block, most).map(({ start, end }) => ({ start: block * start, end: block * end }));
}

/** The shape in which a graph takes a piece: as halfProduct (graph/ops/frozen.ts) expects it. */
export const pieceShape = ({ dims: [, inner], block }: HalfWeight, { start, end }: Piece): number[] =>
  block === 1 ? [end - start, inner] : [end - start, inner, 1, 1];

export const pieceWords = ({ words, dims: [, inner] }: HalfWeight, { start, end }: Piece): Uint16Array =>
  words.subarray(start * inner, end * inner);

/** Writes the values of a weight into `target` [out, in]. */
export async function widenInPieces(weight: HalfWeight, target: FloatTensor): Promise<void> {
  const { block, shift, dims } = weight;
  widening ??= cpu.compile(wideningGraph());
  const executable = await widening;
  const factor = floats(Float32Array.of(2 ** -shift), []);
  for (const piece of halfPieces(weight)) {
    const blocks = (piece.end - piece.start) / block;
    const words: HalfTensor = halves(pieceWords(weight, piece), [blocks, dims[1], block]);
    const values = floats(rows(target, piece.start, piece.end).data, [blocks, block, dims[1]]);
    await executable.run({ words, factor }, { values });
  }
}

// --- internal ---

/** One for all weights: sizes are symbolic. */
let widening: Promise<Executable> | undefined;

function wideningGraph() {
  const words = input('words', ['blocks', 'in', 'block'], 'float16');
  const factor = input('factor', []);
  const values = mul(widened(transpose(words, [0, 2, 1])), factor);
  return { name: 'widening', inputs: { words, factor }, outputs: { values } };
}
