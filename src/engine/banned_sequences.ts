/**
 * Sequences of ids that must not be sampled: the last id is banned where the others have just been sampled.
 *
 * Source: transformers `NoBadWordsLogitsProcessor`, vLLM `bad_words`. As in vLLM, only what has been sampled counts, not the
 * prompt.
 */
import type { LiveRow } from './live_rows.ts';

/** A sequence of at least two ids. */
export type IdSequence = readonly number[];

/** Ids that would complete a sequence after these. */
export function completingIds(sequences: readonly IdSequence[], ids: readonly number[]): number[] {
  return sequences.flatMap((sequence) => {
    const begin = ids.length - (sequence.length - 1);
    const follows = begin >= 0 && sequence.every((id, i) => i === sequence.length - 1 || id === ids[begin + i]);
    return follows ? [sequence.at(-1)!] : [];
  });
}

/**
 * Writes what is banned of each row at the row's place: what is banned everywhere, and what would complete a sequence.
 *
 * @param banned [places, vocab]: 0, or -inf for ids that must not be drawn
 * @param everywhere the same for all rows [vocab]
 */
export function writeBans(
  banned: Float32Array,
  rows: readonly Pick<LiveRow, 'place' | 'ids'>[],
  everywhere: Float32Array,
  sequences: readonly IdSequence[],
): void {
  for (const { place, ids } of rows) {
    const own = banned.subarray(place * everywhere.length, (place + 1) * everywhere.length);
    own.set(everywhere);
    for (const id of completingIds(sequences, ids)) own[id] = Number.NEGATIVE_INFINITY;
  }
}
