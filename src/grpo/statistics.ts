/**
 * Mean and sample deviation of a few numbers, for advantages and logged metrics.
 * Knows nothing of rewards or groups.
 */

/** A deviation at or below this counts as 0: the absolute tolerance of torch.isclose, which TRL and ms-swift use. */
export const ZERO_STD = 1e-8;

/** The numbers of a list, without its nulls. */
export function present(values: readonly (number | null)[]): number[] {
  return values.filter((value): value is number => value !== null);
}

/**
 * Mean; null for an empty list. It is taken around the first value, so the mean of equal numbers is that number to the last
 * bit. A group of equal rewards then gets advantages of exactly 0, instead of rounding noise divided by 1e-4.
 */
export function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const origin = values[0]!;
  let sum = 0;
  for (const value of values) sum += value - origin;
  return origin + sum / values.length;
}

/** Sample standard deviation (n - 1 in the denominator); 0 for fewer than two numbers. */
export function sampleStd(values: readonly number[]): number {
  const centre = mean(values);
  if (centre === null || values.length < 2) return 0;
  let squares = 0;
  for (const value of values) squares += (value - centre) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}
