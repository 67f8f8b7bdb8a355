/**
 * A least-recently-used cache with a budget in bytes. Knows the sizes of values, not what they are.
 */

export interface ByteCache<T> {
  /** The value of a key, which now counts as most recently used; undefined if the cache does not hold it. */
  get(key: string): T | undefined;
  /** Stores a value in place of the key's earlier one. A value larger than the budget is not kept. */
  set(key: string, value: T, bytes: number): void;
  /** Bytes held. */
  readonly bytes: number;
}

export function createByteCache<T>(budget: number): ByteCache<T> {
  // A Map iterates in insertion order, so the least recently used entry comes first.
  const entries = new Map<string, { readonly value: T; readonly bytes: number }>();
  let held = 0;
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    set(key, value, bytes) {
      held += bytes - (entries.get(key)?.bytes ?? 0);
      entries.delete(key);
      entries.set(key, { value, bytes });
      for (const [oldest, entry] of entries) {
        if (held <= budget) break;
        entries.delete(oldest);
        held -= entry.bytes;
      }
    },
    get bytes() {
      return held;
    },
  };
}
