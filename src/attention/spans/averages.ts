/**
 * Means and entropies of what was measured. Knows numbers, not spans.
 */

/** The mean over layers: [layers][T] -> [T]. */
export function overLayers(masses: readonly Float32Array[]): Float64Array {
  const tokens = masses[0]?.length ?? 0;
  return Float64Array.from(
    { length: tokens },
    (_, t) => masses.reduce((sum, mass) => sum + mass[t]!, 0) / masses.length,
  );
}

/** The mean over layers and tokens; null without tokens. */
export function overAll(masses: readonly Float32Array[]): number | null {
  return averageOf(overLayers(masses));
}

/** The mean; null of nothing. */
export function averageOf(values: Float64Array): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * The entropy of each row, in nats: -Σ p log p, where p is a weight of the row divided by their sum.
 *
 * @param weights [rows, n], at least 0
 */
export function rowEntropies(weights: Float32Array, n: number): Float64Array {
  return Float64Array.from({ length: weights.length / n }, (_, row) => {
    const own = weights.subarray(row * n, (row + 1) * n);
    const total = own.reduce((sum, weight) => sum + weight, 0);
    let entropy = 0;
    for (const weight of own) if (weight > 0) entropy -= (weight / total) * Math.log(weight / total);
    return entropy;
  });
}
