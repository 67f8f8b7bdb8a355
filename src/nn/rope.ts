/**
 * Angle tables of rotary position embeddings, computed once per batch on the host.
 */

export interface AngleTable {
  /** [rows, half] row by row. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  readonly rows: number;
  /** Half of a head's width: one angle per pair. */
  readonly half: number;
}

/** theta^(-2i/d) for i < count, in float32 as the reference computes them. */
export function inverseFrequencies(theta: number, dim: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => 1 / theta ** ((2 * i) / dim));
}

/**
 * @param positionOf position of a row for angle i (axes of a multimodal rotary differ by i)
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
