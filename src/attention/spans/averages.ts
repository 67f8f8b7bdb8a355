/**
 * Means over what was measured on spans. Knows numbers, not spans.
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
