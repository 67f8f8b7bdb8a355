/**
 * How squares are summed in float32: in blocks, and within its range.
 */

/** Number of elements whose squares are summed in float32, one after another. */
export const BLOCK = 1024;

/** Whether no square of `count` elements has left the range of float32, by their sum. */
export const isInRange = (sum: number, count: number): boolean =>
  sum > SMALLEST * count && sum < Number.POSITIVE_INFINITY;

// --- internal ---

/** Below this mean square, float32 may have rounded some squares to 0. */
const SMALLEST = 2 ** -100;
