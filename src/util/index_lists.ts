/**
 * Lists of row numbers.
 */

/** from, from + 1, … */
export const counting = (length: number, from = 0): Int32Array => Int32Array.from({ length }, (_, i) => from + i);

/** Lists one after another. */
export function joined(parts: readonly Int32Array[]): Int32Array {
  const whole = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let next = 0;
  for (const part of parts) {
    whole.set(part, next);
    next += part.length;
  }
  return whole;
}
