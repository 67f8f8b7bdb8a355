/**
 * The correlation of a signal with a reward inside groups, and a watch for the moment at which its sign turns.
 * Knows paired numbers and groups, not which of the two is better when larger.
 *
 * In trial runs the within-group correlation of the text-dominance ratio with accuracy was negative while attention to the
 * picture helped. It turned positive before the answers fell apart, when greedy accuracy still looked fine.
 */
import { groupsOf, type RewardValue } from './advantages.ts';
import { mean, sampleStd, ZERO_STD } from './statistics.ts';

export interface GroupCorrelation {
  /** Pearson correlation of the group-centred values, in [-1, 1]; null when no group took part. */
  readonly correlation: number | null;
  /** Groups that took part: at least two complete pairs, and both sides vary. */
  readonly groups: number;
  /** Pairs in those groups. */
  readonly samples: number;
}

/**
 * Pooled within-group correlation. Each side is centred in its group, then all pairs are correlated at once, so that the
 * difficulty of prompts does not show as correlation. A pair with a null drops out, and so does a group in which either side
 * is constant: it would only dilute the other side's spread.
 *
 * @param x a signal per completion, group after group [N]
 * @param y a reward per completion [N]
 */
export function withinGroupCorrelation(
  x: readonly RewardValue[],
  y: readonly RewardValue[],
  numGenerations: number,
): GroupCorrelation {
  if (x.length !== y.length) throw new Error(`internal: correlation of ${x.length} with ${y.length} values`);
  const yGroups = groupsOf(y, numGenerations);
  let xx = 0;
  let yy = 0;
  let xy = 0;
  let groups = 0;
  let samples = 0;
  for (const [g, xGroup] of groupsOf(x, numGenerations).entries()) {
    const xs: number[] = [];
    const ys: number[] = [];
    for (const [i, a] of xGroup.entries()) {
      const b = yGroups[g]![i]!;
      if (a === null || b === null) continue;
      xs.push(a);
      ys.push(b);
    }
    if (sampleStd(xs) <= ZERO_STD || sampleStd(ys) <= ZERO_STD) continue;
    const xMean = mean(xs)!;
    const yMean = mean(ys)!;
    for (const [i, a] of xs.entries()) {
      const dx = a - xMean;
      const dy = ys[i]! - yMean;
      xx += dx * dx;
      yy += dy * dy;
      xy += dx * dy;
    }
    groups += 1;
    samples += xs.length;
  }
  if (groups === 0) return { correlation: null, groups, samples };
  // Rounding may leave a perfect correlation a bit beyond 1.
  const correlation = Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
  return { correlation, groups, samples };
}

/** State of a watch over one correlation; plain data. */
export interface FlipWatch {
  /** Running average of the correlation; null before the first value. */
  readonly average: number | null;
  /** Values seen. */
  readonly seen: number;
  /** Whether the average has been below -FLIP_MARGIN. */
  readonly wasNegative: boolean;
  /** Whether the flip has been reported; it is reported once. */
  readonly reported: boolean;
}

/** A watch before the first value. */
export const newFlipWatch: FlipWatch = { average: null, seen: 0, wasNegative: false, reported: false };

/** Weight of the newest value in the running average: about the last ten values count. */
const FLIP_DECAY = 0.2;
/** The average counts as negative below minus this and as positive above it: twice its noise at 64 pairs a step. */
const FLIP_MARGIN = 0.1;
/** Values before the average is believed. */
export const FLIP_MIN_SEEN = 5;

/**
 * Feeds one step's correlation. `flipped` is true exactly once: when the running average first rises above +FLIP_MARGIN after
 * it has been below -FLIP_MARGIN. A null (a step without a correlation) changes nothing.
 */
export function watchFlip(watch: FlipWatch, correlation: number | null): { watch: FlipWatch; flipped: boolean } {
  if (correlation === null) return { watch, flipped: false };
  // A plain mean until the decay takes over; otherwise the first value would weigh five times the others.
  const seen = watch.seen + 1;
  const weight = Math.max(FLIP_DECAY, 1 / seen);
  const average = watch.average === null ? correlation : watch.average + weight * (correlation - watch.average);
  const believed = seen >= FLIP_MIN_SEEN;
  const wasNegative = watch.wasNegative || (believed && average < -FLIP_MARGIN);
  const flipped = !watch.reported && wasNegative && believed && average > FLIP_MARGIN;
  return { watch: { average, seen, wasNegative, reported: watch.reported || flipped }, flipped };
}
