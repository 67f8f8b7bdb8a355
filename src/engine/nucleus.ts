/**
 * Nucleus sampling's choice of tokens (top_p; Holtzman et al. 2020, section 3.1) without sorting the vocabulary.
 *
 * Tokens are chosen by their distance from the likeliest one, in nats. The distance at which the sum of probabilities passes
 * top_p is narrowed down to 5e-7 nats, about the rounding of logits; tokens that close to each other count as equally likely.
 * Where sums in float64 are possible, it is done in two cuts: tokens go into bins by their distance, and the bin in which the
 * running sum passes top_p is cut into bins again. (Sorting 8 rows of 151,936 tokens takes ten times as long.) Elsewhere the
 * interval is halved: each time, the probabilities up to its middle are added.
 */
import { either } from '../graph/either.ts';
import { add, lessOrEqual, max, min, mul, neg, sub, toFloat, toInt, where } from '../graph/ops/elementwise.ts';
import { binSums } from '../graph/ops/gather.ts';
import { reshape } from '../graph/ops/movement.ts';
import { cumulativeShare, reduceMax, sum } from '../graph/ops/reduce.ts';
import type { Dim } from '../graph/shape.ts';
import { scalar, type Value } from '../graph/value.ts';
import { inBlocks } from './row_blocks.ts';

/** Nats from the likeliest token beyond which tokens count as equally likely: together they hold less than a float32 can add to 1. */
const FARTHEST = 32;
/** A power of two, which scales distances without rounding. */
const BINS = 2 ** 13;
const CUTS = 2;
/** Both ways end with intervals of FARTHEST / BINS ** CUTS nats. */
const HALVINGS = CUTS * Math.log2(BINS);

/**
 * The fewest tokens, likeliest first, whose probabilities sum to more than `topP`; and tokens as likely as the last of them.
 *
 * @param probabilities [N, v]: softmax(logits)
 * @param logits [N, v], -inf for tokens that must not be drawn
 * @returns [N, v]: the probabilities, with 0 for tokens that are left out
 */
export function nucleus(probabilities: Value, logits: Value, topP: number): Value {
  const distance = min(sub(reduceMax(logits, [-1], true), logits), FARTHEST); // [N, v]
  const inputs = [distance, probabilities];
  const last = either(
    'float64',
    inputs,
    byBins(distance, probabilities, topP),
    byHalves(distance, probabilities, topP),
  );
  return where(lessOrEqual(distance, last), probabilities, 0);
}

// --- internal ---

/** The distance of the nucleus's last token: [N, 1]. */
function byBins(distance: Value, probabilities: Value, topP: number): Value {
  // Bins 1 to BINS divide the range that is cut; bin 0 holds all tokens before it, the last bin all tokens after it. So each
  // cut orders all tokens by itself, and does not rely on the rounding of the cut before it.
  let place = add(mul(distance, BINS / FARTHEST), 1);
  let { bins, reached } = cut(place, probabilities, topP);
  for (let i = 1; i < CUTS; i++) {
    place = add(mul(sub(place, reached), BINS), 1);
    ({ bins, reached } = cut(place, probabilities, topP));
  }
  return reduceMax(where(lessOrEqual(bins, toInt(reached)), distance, -1), [-1], true);
}

interface Cut {
  /** int32 [N, v] */
  readonly bins: Value;
  /** The bin in which the running share first exceeds topP: [N, 1]. */
  readonly reached: Value;
}

/** @param place [N, v]: a bin begins at each whole number */
function cut(place: Value, probabilities: Value, topP: number): Cut {
  // NaN goes into the last bin: indices must be in range, whatever the logits are.
  const bins = toInt(where(lessOrEqual(place, scalar(BINS + 1)), max(place, 0), BINS + 1));
  // A share of the actual sum: softmax in float32 does not add up to 1, and its error differs between processors.
  const running = cumulativeShare(binSums(probabilities, bins, BINS + 2));
  return { bins, reached: sum(toFloat(lessOrEqual(running, scalar(topP))), [-1], true) };
}

/**
 * The distance up to which tokens are kept, in float32: [N, 1]. The probabilities up to the start of the last interval sum to at
 * most topP, those up to its end to more. Sums in blocks carry at most (width + blocks) roundings each. All of them add in the
 * same order, so that none falls as the middle moves on.
 */
function byHalves(distance: Value, probabilities: Value, topP: number): Value {
  const [rows, columns] = distance.shape as [Dim, Dim];
  if (typeof columns !== 'number') throw new Error(`internal: a vocabulary of ${columns} tokens`);
  const [far, terms] = [inBlocks(distance, columns), inBlocks(probabilities, columns)]; // [N, blocks, width]
  const total = (parts: Value): Value => sum(sum(parts, [-1]), [-1], true); // [N, 1]
  const within = (end: Value): Value => lessOrEqual(far, reshape(end, [rows, 1, 1]));
  const most = mul(total(terms), topP);
  // No token lies at the start: from FARTHEST before the likeliest tokens, so that the first middle decides about those.
  let start = sub(mul(most, 0), FARTHEST); // [N, 1]
  for (let i = 0; i <= HALVINGS; i++) {
    const middle = add(start, FARTHEST / 2 ** i);
    const through = total(where(within(middle), terms, 0));
    start = where(lessOrEqual(through, most), middle, start);
  }
  // From 8 nats on, an interval is less than the rounding of its start, and its end is the next distance that occurs.
  const beyond = where(lessOrEqual(distance, start), -FARTHEST, neg(distance));
  return max(add(start, FARTHEST / 2 ** HALVINGS), neg(reduceMax(beyond, [-1], true)));
}
