/**
 * The sum of squares over gradient arrays as a whole, for their norm.
 * Plain loops over memory; knows no tensor and no graph.
 */

/** Σ x² over all elements of all arrays, added up in float64. */
export function sumOfSquares(arrays: Iterable<Float32Array>): number {
  let total = 0;
  for (const array of arrays) total += sumOfSquaresOf(array);
  return total;
}

// --- internal ---

/** Four sums side by side: one alone would wait for its last addition at every element. */
function sumOfSquaresOf(x: Float32Array): number {
  const whole = x.length - (x.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    // Read once each: `x[i] * x[i]` would be loaded and widened twice.
    const p = x[i]!;
    const q = x[i + 1]!;
    const r = x[i + 2]!;
    const s = x[i + 3]!;
    a += p * p;
    b += q * q;
    c += r * r;
    d += s * s;
  }
  for (let i = whole; i < x.length; i++) a += x[i]! ** 2;
  return a + b + (c + d);
}
