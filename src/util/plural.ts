/**
 * Counts in words.
 */

/** `1 row`, `2 rows`. */
export function plural(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}
