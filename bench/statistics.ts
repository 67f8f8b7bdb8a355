/**
 * Summarises repeated measurements. Knows numbers only.
 */

/** The middle value, or the mean of the two middle values. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('internal: median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Median of one number per sample. */
export const medianOf = <T>(samples: readonly T[], pick: (sample: T) => number): number => median(samples.map(pick));

/** Runs a function and measures its time in milliseconds. */
export async function timed<T>(run: () => T | Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now();
  const result = await run();
  return { result, ms: performance.now() - start };
}
