/**
 * Nucleus sampling's choice of tokens (top_p; Holtzman et al. 2020, section 3.1) without sorting the vocabulary: tokens are
 * thrown into bins by how far they are from the likeliest one, the bin in which the sum of probabilities is reached is cut
 * into bins again, and where it is reached there is the last token. Sorting 8 rows of 151,936 takes ten times as long.
 */
import { add, lessOrEqual, max, min, mul, sub, toFloat, toInt, where } from '../graph/ops/elementwise.ts';
import { binSums } from '../graph/ops/gather.ts';
import { cumulativeShare, reduceMax, sum } from '../graph/ops/reduce.ts';
import { scalar, type Value } from '../graph/value.ts';

/** Tokens farther from the likeliest, in nats, share a bin: all of a vocabulary together hold less than a float32 can add to 1. */
const FARTHEST = 32;
/** A power of two, which scales distances without rounding. */
const BINS = 2 ** 13;
/** Two cuts leave bins of 5e-7 nats, about the rounding of logits. */
const CUTS = 2;

/**
 * The fewest tokens whose probabilities reach more than `topP`, likeliest first; those as likely as the last one stay with it.
 *
 * @param probabilities [N, v]: softmax(logits)
 * @param logits [N, v], -inf for tokens that must not be drawn
 * @returns [N, v]: probabilities, 0 of tokens that are left out
 */
export function nucleus(probabilities: Value, logits: Value, topP: number): Value {
  const distance = min(sub(reduceMax(logits, [-1], true), logits), FARTHEST); // [N, v]
  // Bins 1 to BINS cut what is cut, bin 0 holds all tokens before it, the last one all after it. Each cut's bins are an
  // order of all tokens by themselves: what one of them rounds, no other relies on.
  let place = add(mul(distance, BINS / FARTHEST), 1);
  let { bins, reached } = cut(place, probabilities, topP);
  for (let i = 1; i < CUTS; i++) {
    place = add(mul(sub(place, reached), BINS), 1);
    ({ bins, reached } = cut(place, probabilities, topP));
  }
  const last = reduceMax(where(lessOrEqual(bins, toInt(reached)), distance, -1), [-1], true); // [N, 1]
  return where(lessOrEqual(distance, last), probabilities, 0);
}

// --- internal ---

interface Cut {
  /** int32 [N, v] */
  readonly bins: Value;
  /** The bin in which the running share first exceeds topP: [N, 1]. */
  readonly reached: Value;
}

/** @param place [N, v]: whole numbers begin bins */
function cut(place: Value, probabilities: Value, topP: number): Cut {
  // What is no number goes into the last bin: the index of one must be in range, whatever the logits are.
  const bins = toInt(where(lessOrEqual(place, scalar(BINS + 1)), max(place, 0), BINS + 1));
  // A share of the sum that is there: softmax in float32 does not add up to 1, and how far off it is differs by processor.
  const running = cumulativeShare(binSums(probabilities, bins, BINS + 2));
  return { bins, reached: sum(toFloat(lessOrEqual(running, scalar(topP))), [-1], true) };
}
