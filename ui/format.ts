/**
 * Numbers and times as a reader wants them: short, and aligned in columns.
 */

/** Four significant digits; `–` for null. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2).replace('e+', 'e');
  if (Number.isInteger(value)) return value.toLocaleString('en').replaceAll(',', '\u202f');
  return value.toFixed(Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(size)))));
}

/** Three decimals, for columns in which the points stand below one another; `–` for null. */
export function decimal(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return Number.isInteger(value) && Math.abs(value) >= 10
    ? String(value)
    : value.toFixed(Math.abs(value) >= 100 ? 1 : 3);
}

/** A difference, with its sign. */
export function signed(value: number | null): string {
  if (value === null) return '–';
  return `${value < 0 ? '\u2212' : '+'}${Math.abs(value).toFixed(3)}`;
}

export function count(value: number): string {
  return value.toLocaleString('en').replaceAll(',', '\u202f');
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function ago(time: number | null, now = Date.now()): string {
  if (time === null) return '';
  const seconds = Math.max(0, (now - time) / 1000);
  if (seconds < 5) return 'now';
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}
