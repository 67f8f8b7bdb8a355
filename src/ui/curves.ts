/**
 * Curves for a screen: smoothing over every value, then a reduction that keeps the extremes.
 */

/**
 * Debiased exponential average: s_t = (w s_{t-1} + (1 - w) x_t), divided by 1 - w^t. Gaps are passed over and stay gaps.
 * Source: the bias correction of Kingma and Ba, 2015, which TensorBoard uses for its smoothing.
 *
 * @param weight of the past, from 0 (no smoothing) to less than 1
 */
export function smoothed(values: readonly (number | null)[], weight: number): (number | null)[] {
  let sum = 0;
  let remaining = 1;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    remaining *= weight;
    return sum / (1 - remaining);
  });
}

/**
 * Indices of at most `points` values that draw the same picture: the lowest and the highest value of each of `points / 2`
 * equal parts, with the first and the last index in any case.
 */
export function reducedIndices(values: readonly (number | null)[], points: number): number[] {
  if (values.length <= points) return values.map((_, index) => index);
  const last = values.length - 1;
  const parts = Math.max(1, Math.floor((points - 2) / 2));
  const kept = new Set([0, last]);
  for (let part = 0; part < parts; part++) {
    const from = Math.floor((part * values.length) / parts);
    const to = Math.floor(((part + 1) * values.length) / parts);
    let low = -1;
    let high = -1;
    for (let i = from; i < to; i++) {
      const value = values[i]!;
      if (value === null) continue;
      if (low < 0 || value < values[low]!) low = i;
      if (high < 0 || value > values[high]!) high = i;
    }
    if (low >= 0) kept.add(low).add(high);
  }
  return [...kept].sort((a, b) => a - b);
}

/**
 * Pearson's correlation of the pairs in which neither is null; null with fewer than three pairs or without variance.
 */
export function correlation(xs: readonly (number | null)[], ys: readonly (number | null)[]): number | null {
  const pairs = xs.flatMap((x, i) => (x === null || ys[i] == null ? [] : [[x, ys[i]!] as const]));
  if (pairs.length < 3) return null;
  const mean = (pick: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[pick], 0) / pairs.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  let [xx, yy, xy] = [0, 0, 0];
  for (const [x, y] of pairs) {
    xx += (x - meanX) ** 2;
    yy += (y - meanY) ** 2;
    xy += (x - meanX) * (y - meanY);
  }
  // Below the rounding error of the means, the values are constant.
  const isConstant = (squares: number, average: number): boolean =>
    squares <= pairs.length * (average * Number.EPSILON * pairs.length) ** 2;
  if (isConstant(xx, meanX) || isConstant(yy, meanY)) return null;
  return xy / Math.sqrt(xx * yy);
}
