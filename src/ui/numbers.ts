/**
 * Columns of numbers that grow, with gaps. Eight bytes a number, so that a run of 100,000 completions takes little memory.
 */

export interface NumberColumn {
  readonly length: number;
  /** Null for a gap. */
  get(index: number): number | null;
  /** Not finite values become gaps. Indices that were skipped are gaps. */
  set(index: number, value: number | null): void;
}

export function createNumberColumn(): NumberColumn {
  let values = new Float64Array(64);
  let length = 0;
  return {
    get length() {
      return length;
    },
    get(index) {
      const value = index < length ? values[index]! : Number.NaN;
      return Number.isNaN(value) ? null : value;
    },
    set(index, value) {
      if (index >= values.length) {
        const larger = new Float64Array(Math.max(index + 1, values.length * 2));
        larger.set(values.subarray(0, length));
        values = larger;
      }
      if (index >= length) {
        values.fill(Number.NaN, length, index);
        length = index + 1;
      }
      values[index] = value === null || !Number.isFinite(value) ? Number.NaN : value;
    },
  };
}
