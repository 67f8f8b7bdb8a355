/**
 * Keeps the groups of rows (row groups of Parquet, record batches of Arrow) that were decoded last, up to a number of bytes.
 * Rows that are read in order, or from few groups, are decoded once.
 */

export interface GroupCache<T> {
  /** The group, decoded now or earlier. */
  get(group: number): Promise<T>;
  clear(): void;
}

/**
 * @param bytesOf size of a decoded group, in bytes
 */
export function createGroupCache<T>(
  decode: (group: number) => Promise<T>,
  bytesOf: (group: number) => number,
): GroupCache<T> {
  // least recently used first
  const kept = new Map<number, Promise<T>>();
  const bytes = (): number => [...kept.keys()].reduce((sum, group) => sum + bytesOf(group), 0);
  return {
    get: (group) => {
      const known = kept.get(group);
      const decoded = known ?? decode(group);
      kept.delete(group);
      kept.set(group, decoded);
      // A failed group is not kept: its error goes to the callers that asked for it.
      if (known === undefined) decoded.catch(() => kept.delete(group));
      while (kept.size > 1 && bytes() > KEPT_BYTES) kept.delete(kept.keys().next().value!);
      return decoded;
    },
    clear: () => kept.clear(),
  };
}

// --- internal ---

const KEPT_BYTES = 128 * 2 ** 20;
