/**
 * Merges adapters into weights: W + scale · B · A. The sum is rounded to float32 once.
 */

/**
 * Adds an update to a weight [out, inner], in place.
 *
 * @param a [rank, inner]
 * @param b [out, rank]
 */
export function mergeUpdate(
  weight: Float32Array,
  {
    a,
    b,
    scale,
    rank,
  }: { readonly a: Float32Array; readonly b: Float32Array; readonly scale: number; readonly rank: number },
): void {
  const inner = a.length / rank;
  const sum = new Float64Array(inner);
  for (let o = 0; o < b.length / rank; o++) {
    const row = weight.subarray(o * inner, (o + 1) * inner);
    sum.set(row);
    for (let k = 0; k < rank; k++) {
      const factor = scale * b[o * rank + k]!;
      if (factor === 0) continue;
      const from = k * inner;
      for (let i = 0; i < inner; i++) sum[i]! += factor * a[from + i]!;
    }
    row.set(sum);
  }
}
