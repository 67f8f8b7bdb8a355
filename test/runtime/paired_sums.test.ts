import { expect, test } from 'vitest';
import { pairedSums } from '../../src/runtime/paired_sums.ts';

test('without repeats, rows stay as they are', () => {
  expect(pairedSums(Int32Array.of(4, 0, 7))).toEqual({ rounds: [], places: Int32Array.of(4, 0, 7) });
  expect(pairedSums(new Int32Array(0))).toEqual({ rounds: [], places: new Int32Array(0) });
});

test.each([1, 2, 3, 5, 64, 65])('each of %i rows of a place is added once, in as many rounds as halvings', (count) => {
  const given = Int32Array.from({ length: 2 * count + 1 }, (_, i) => (i === 0 ? 9 : i % 2));
  const { rounds, places } = pairedSums(given);
  expect(rounds).toHaveLength(Math.ceil(Math.log2(count)));
  // Row i holds 2^i, so that a sum says which rows are in it.
  let rows = Array.from(given, (_, i) => 2n ** BigInt(i));
  for (const { first, second, hasSecond } of rounds)
    rows = Array.from(first, (row, i) => rows[row]! + (hasSecond[i] === 1 ? rows[second[i]!]! : 0n));
  const expected = new Map<number, bigint>();
  for (const [i, place] of given.entries()) expected.set(place, (expected.get(place) ?? 0n) + 2n ** BigInt(i));
  expect(new Map(Array.from(places, (place, i) => [place, rows[i]!]))).toEqual(expected);
  expect(places).toHaveLength(expected.size);
});
