/**
 * Random codes of a quantised weight, and the numbers that they stand for by definition, in float64.
 */
import { QUANT_BLOCK } from '../../src/checkpoint/quantised.ts';
import type { QuantisedMatrix } from '../../src/graph/ops/frozen.ts';
import type { Random } from '../../src/util/random.ts';

export function randomCodes(random: Random, bits: 4 | 8, out: number, inner: number): QuantisedMatrix {
  const blocks = Math.ceil(inner / QUANT_BLOCK);
  return {
    bits,
    block: QUANT_BLOCK,
    codes: Uint8Array.from({ length: (out * blocks * QUANT_BLOCK * bits) / 8 }, () => random.int(256)),
    scales: Float32Array.from({ length: out * blocks }, () => random.normal() / 2 ** bits),
    dims: [out, inner],
  };
}

/** The number at a place of the matrix: bits are packed from the lowest of each byte, rows are padded to whole blocks. */
export function valueAt(
  { bits, codes, scales, dims: [, inner] }: QuantisedMatrix,
  row: number,
  column: number,
): number {
  const blocks = Math.ceil(inner / QUANT_BLOCK);
  const block = row * blocks + Math.floor(column / QUANT_BLOCK);
  const place = block * QUANT_BLOCK + (column % QUANT_BLOCK);
  const code = bits === 8 ? codes[place]! : (codes[Math.floor(place / 2)]! >> (4 * (place % 2))) & 15;
  return (code - 2 ** (bits - 1)) * scales[block]!;
}

/** The largest sum of the absolute weights of an output. */
export function largestSum(matrix: QuantisedMatrix): number {
  const [out, inner] = matrix.dims;
  const sums = Array.from({ length: out }, (_, row) =>
    Array.from({ length: inner }, (_, column) => Math.abs(valueAt(matrix, row, column))).reduce((a, b) => a + b, 0),
  );
  return Math.max(...sums);
}

/** x [n, in] · weightᵀ */
export function productOf(matrix: QuantisedMatrix, x: readonly number[]): number[] {
  const [out, inner] = matrix.dims;
  return Array.from({ length: (x.length / inner) * out }, (_, at) => {
    const [row, column] = [Math.floor(at / out), at % out];
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += x[row * inner + i]! * valueAt(matrix, column, i);
    return sum;
  });
}
