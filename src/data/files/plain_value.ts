/**
 * Turns cells of typed tables into the values that JSON rows have, and bytes. Rewards, logs and the row reader accept only these.
 */

/**
 * - whole numbers that a double cannot hold become text with all their digits
 * - dates and times become ISO 8601 text
 * - lists of numbers become arrays; bytes stay bytes
 * - missing values become null
 *
 * Error: RangeError for a date outside the range of ISO 8601 text.
 */
export function plainValue(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== 'object') return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as Iterable<unknown>, plainValue);
  if (Array.isArray(value)) return value.map(plainValue);
  if (value instanceof Map) return [...value].map((entry) => entry.map(plainValue));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plainValue(inner)]));
}
