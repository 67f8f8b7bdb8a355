/**
 * The completions that are being sampled: what each has so far, and at which place of the cache it is.
 * Knows ids and places, not how tokens are drawn.
 */
import type { Random } from '../util/random.ts';
import type { TokenScores } from './groups.ts';
import { type KvCache, withoutFree } from './kv_cache.ts';
import type { RecordedToken } from './recording.ts';

/** A completion as it was sampled, with its scores under the sampler's own distribution. */
export interface SampledCompletion extends TokenScores {
  /** [tokens]; a stop id is the last of them. */
  readonly ids: Int32Array;
  /** Ended by a stop id; otherwise cut off by maxNewTokens. */
  readonly finished: boolean;
}

/** A completion under way. */
export interface LiveRow {
  readonly group: number;
  readonly completion: number;
  /** Its own stream, so that what it draws does not depend on its neighbours. */
  readonly random: Random;
  /** Its place in the cache. */
  place: number;
  /** The newest id. */
  last: number;
  readonly ids: number[];
  readonly logps: number[];
  readonly entropies: number[];
  finished: boolean;
}

/** What changes from step to step. */
export interface LiveRows {
  /** Completions that are not done, group by group. */
  rows: readonly LiveRow[];
  cache: KvCache;
  /** Tokens that the cache holds of each completion. */
  length: number;
}

/** `count` empty completions of each of so many prompts, at consecutive places. */
export function newRows(prompts: number, count: number, random: Random): LiveRow[] {
  return Array.from({ length: prompts * count }, (_, place) => {
    const group = Math.floor(place / count);
    const completion = place % count;
    const own = random.fork(`${group}/${completion}`);
    return { group, completion, random: own, place, last: -1, ids: [], logps: [], entropies: [], finished: false };
  });
}

export function sampledOf({ ids, logps, entropies, finished }: LiveRow): SampledCompletion {
  return {
    ids: Int32Array.from(ids),
    logps: Float32Array.from(logps),
    entropies: Float32Array.from(entropies),
    masses: new Map(),
    finished,
  };
}

/** Writes a number of each row at the row's place; other places keep what they have. */
export function byPlace<T extends Int32Array | Float32Array>(
  numbers: T,
  rows: readonly LiveRow[],
  numberOf: (row: LiveRow) => number,
): T {
  for (const row of rows) numbers[row.place] = numberOf(row);
  return numbers;
}

/**
 * Writes the penalty of each row's tokens, those of its prompt included, at the row's place; 1 for other tokens.
 *
 * @param penalties [places, vocab]
 * @param prompts ids of each group's prompt
 */
export function writePenalties(
  penalties: Float32Array,
  rows: readonly LiveRow[],
  prompts: readonly Int32Array[],
  { vocabSize, penalty }: { readonly vocabSize: number; readonly penalty: number },
): void {
  penalties.fill(1);
  for (const { place, group, ids } of rows) {
    const own = penalties.subarray(place * vocabSize, (place + 1) * vocabSize);
    for (const id of prompts[group]!) own[id] = penalty;
    for (const id of ids) own[id] = penalty;
  }
}

/** The next number of a row's stream, in [0, 1) as a float32 too. */
export const uniformOf = ({ random }: LiveRow): number => Math.min(random.next(), LARGEST_UNIFORM);

export const placesOf = (rows: readonly LiveRow[]): Int32Array => Int32Array.from(rows, ({ place }) => place);

/** A completion's newest token, as a recording names it. */
export const newestOf = ({ group, completion, ids }: LiveRow): RecordedToken => ({
  group,
  completion,
  t: ids.length - 1,
});

/** Drops the other rows; the cache shrinks where that pays. */
export async function keepOnly(live: LiveRows, rows: readonly LiveRow[]): Promise<void> {
  if (rows.length === live.rows.length) return;
  live.rows = rows;
  if (rows.length === 0) return;
  const { cache, places } = await withoutFree(live.cache, live.length, placesOf(rows));
  live.cache = cache;
  for (const [i, row] of rows.entries()) row.place = places[i]!;
}

// --- internal ---

/** Stays below 1 when it is rounded to a float32. */
const LARGEST_UNIFORM = 1 - 2 ** -20;
