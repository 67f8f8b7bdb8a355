/**
 * Pieces of weights of 16 bits: all outputs, cut between blocks, and widened to the same numbers as in one.
 */
import { expect, test } from 'vitest';
import { type HalfWeight, widenHalf } from '../../src/checkpoint/half_words.ts';
import { halfPieces, pieceShape, pieceWords, widenInPieces } from '../../src/engine/half_pieces.ts';
import { zeros } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';

const random = createRandom(3);
const weightOf = (out: number, inner: number, block: number): HalfWeight => ({
  kind: 'half',
  words: Uint16Array.from({ length: out * inner }, () => random.int(0x7c00)),
  block,
  shift: 5,
  dims: [out, inner],
});

test.each([
  [11008, 2048, 16],
  [2048, 11008, 16],
  [2560, 2048, 8],
  [77, 3, 1],
  [16, 2 ** 20, 16],
])('%d outputs of %d in blocks of %d', (out, inner, block) => {
  const weight = { dims: [out, inner], block } as const;
  let next = 0;
  for (const { start, end } of halfPieces(weight)) {
    expect(start).toBe(next);
    expect((end - start) % block).toBe(0);
    expect(end - start === block || (end - start) * inner <= 2 ** 20).toBe(true);
    next = end;
  }
  expect(next).toBe(out);
});

test.each([1, 16])('a weight of several pieces in blocks of %d', async (block) => {
  const weight = weightOf(96, 2 ** 15, block);
  const pieces = halfPieces(weight);
  expect(pieces.length).toBeGreaterThan(2);
  expect(pieces.flatMap((piece) => [...pieceWords(weight, piece).subarray(0, 3)])).toEqual(
    pieces.flatMap(({ start }) => [...weight.words.subarray(start * 2 ** 15, start * 2 ** 15 + 3)]),
  );
  expect(pieceShape(weight, pieces[0]!).slice(0, 2)).toEqual([pieces[0]!.end, 2 ** 15]);
  const [whole, cut] = [zeros(...weight.dims), zeros(...weight.dims)];
  widenHalf(weight, whole.data);
  await widenInPieces(weight, cut);
  expect(largestDifference(cut.data, whole.data)).toBe(0);
});
