/**
 * Angle tables for rotary position embeddings, computed once per batch in JavaScript.
 */

export interface AngleTable {
  /** [rows, half], row-major. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  readonly rows: number;
  /** Half of a head's width: one angle per pair. */
  readonly half: number;
}

/** theta^(-2i/dim) for i < count, rounded to float32 as in the reference. */
export function inverseFrequencies(theta: number, dim: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => 1 / theta ** ((2 * i) / dim));
}

/**
 * The axis (0 time, 1 height, 2 width) whose position rotates each rotary pair: [half].
 *
 * In Qwen2-VL the three sections follow one another. Interleaved (Qwen3-VL, `apply_interleaved_mrope`), height takes every
 * third pair from the second one on and width every third from the third one on, as many as their sections say; time takes
 * all other pairs.
 */
export function mropeAxes(section: readonly [number, number, number], interleaved = false): number[] {
  if (!interleaved) return section.flatMap((count, axis) => new Array<number>(count).fill(axis));
  const half = section[0] + section[1] + section[2];
  return Array.from({ length: half }, (_, i) => {
    const axis = i % 3;
    return axis !== 0 && i < 3 * section[axis]! ? axis : 0;
  });
}

/**
 * @param positionOf position of a row for pair i (in a multimodal embedding, pairs use different axes)
 * @param frequencies [half]
 */
export function angleTable(
  rows: number,
  frequencies: Float32Array,
  positionOf: (row: number, i: number) => number,
): AngleTable {
  const half = frequencies.length;
  const cos = new Float32Array(rows * half);
  const sin = new Float32Array(rows * half);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(positionOf(row, i) * frequencies[i]!);
      cos[row * half + i] = Math.cos(angle);
      sin[row * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin, rows, half };
}
