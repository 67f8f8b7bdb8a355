/**
 * What is done to gradient arrays as a whole: their sum of squares (for the norm) and setting them back to zero.
 * Plain loops over memory; knows no tensor and no graph.
 */

/** Σ x² over all elements of all arrays, added up in float64. */
export function sumOfSquares(arrays: Iterable<Float32Array>): number {
  let total = 0;
  for (const array of arrays) total += sumOfSquaresOf(array);
  return total;
}

/** Sets every element to 0, for the next accumulation. */
export function fillZeros(arrays: Iterable<Float32Array>): void {
  for (const array of arrays) array.fill(0);
}

// --- internal ---

/** Four sums side by side: one alone waits for the last addition at every element. */
function sumOfSquaresOf(x: Float32Array): number {
  const whole = x.length - (x.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    a += x[i]! * x[i]!;
    b += x[i + 1]! * x[i + 1]!;
    c += x[i + 2]! * x[i + 2]!;
    d += x[i + 3]! * x[i + 3]!;
  }
  for (let i = whole; i < x.length; i++) a += x[i]! * x[i]!;
  return a + b + (c + d);
}
