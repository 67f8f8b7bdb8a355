/**
 * A map that holds values up to a budget of bytes and lets the longest unused go first. Knows sizes, not values.
 */

export interface ByteCache<T> {
  /** The value of a key, which is young again; undefined if it is not, or no longer, there. */
  get(key: string): T | undefined;
  /** Keeps a value as long as there is room, in place of the key's earlier one; a value above the budget goes at once. */
  set(key: string, value: T, bytes: number): void;
  /** Bytes held. */
  readonly bytes: number;
}

export function createByteCache<T>(budget: number): ByteCache<T> {
  // Map order is age: the oldest entry stands first.
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
