/**
 * Seconds in words, as ms-swift writes them into its logs.
 */

/** `1d 2h 3m 4s`, rounded to whole seconds; leading units that are 0 are left out. */
export function formatDuration(seconds: number): string {
  const total = Math.round(seconds);
  const parts = [
    [Math.floor(total / 86_400), 'd'],
    [Math.floor(total / 3600) % 24, 'h'],
    [Math.floor(total / 60) % 60, 'm'],
    [total % 60, 's'],
  ] as const;
  const first = parts.findIndex(([count, unit]) => count > 0 || unit === 's');
  return parts
    .slice(first)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}

/** The same, with tenths of a second below a minute: for parts of a run, which are often short. */
export function formatShortDuration(seconds: number): string {
  return seconds < 59.95 ? `${seconds.toFixed(1)}s` : formatDuration(seconds);
}
