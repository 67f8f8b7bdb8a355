/**
 * Weights quantised by blocks, in the layout of ONNX Runtime's MatMulNBits (com.microsoft): each block of neighbours in a row
 * has a scale s and codes q of 4 or 8 bits, which stand for (q - 2^(bits - 1)) s.
 * Source: docs/ContribOperators.md of ONNX Runtime. The scale is the block's value of largest magnitude over -2^(bits - 1), so
 * that this value is exact. All others are off by |s| / 2 at most, except near the opposite end of the range, which has one
 * code less: there by |s| at most.
 */

export type QuantBits = 4 | 8;

/** Neighbours that share a scale, as in bitsandbytes' 4 bits. */
export const QUANT_BLOCK = 64;

/** A weight [out, in]; the last block of a row may have fewer than QUANT_BLOCK values. */
export interface QuantisedWeight {
  readonly kind: 'quantised';
  readonly bits: QuantBits;
  /** [out, blocks, QUANT_BLOCK · bits / 8]; of two codes in a byte the first is the lower one. */
  readonly codes: Uint8Array<ArrayBuffer>;
  /** [out, blocks] */
  readonly scales: Float32Array<ArrayBuffer>;
  readonly dims: readonly [number, number];
}

/** Blocks in a row of so many values. */
export const blocksIn = (inner: number): number => Math.ceil(inner / QUANT_BLOCK);

/** Bytes of codes of a block. */
export const blockBytes = (bits: QuantBits): number => (QUANT_BLOCK * bits) / 8;

/** Bytes that a quantised weight takes. */
export const quantisedBytes = ([out, inner]: readonly [number, number], bits: QuantBits): number =>
  out * blocksIn(inner) * (blockBytes(bits) + Float32Array.BYTES_PER_ELEMENT);

export function allocateQuantised(dims: readonly [number, number], bits: QuantBits): QuantisedWeight {
  const blocks = dims[0] * blocksIn(dims[1]);
  return {
    kind: 'quantised',
    bits,
    codes: new Uint8Array(blocks * blockBytes(bits)),
    scales: new Float32Array(blocks),
    dims,
  };
}

/** Quantises values [out, in], which are finite. */
export function quantise(values: Float32Array, into: QuantisedWeight): void {
  const { bits, codes, scales, dims } = into;
  const inner = dims[1];
  const [zero, most] = [2 ** (bits - 1), 2 ** bits - 1];
  let block = 0;
  for (let row = 0; row < values.length; row += inner) {
    for (let start = row; start < row + inner; start += QUANT_BLOCK) {
      const end = Math.min(start + QUANT_BLOCK, row + inner);
      let extreme = 0;
      for (let i = start; i < end; i++) {
        const value = values[i]!;
        // Of two ends as far, the lower one, as in ONNX Runtime's quantiser.
        if (Math.abs(value) > Math.abs(extreme) || value === -Math.abs(extreme)) extreme = value;
      }
      scales[block] = extreme === 0 ? 0 : -extreme / zero;
      // By the scale as it is kept; one that is rounded to 0 stands for zeros.
      const inverse = scales[block] === 0 ? 0 : 1 / scales[block]!;
      const at = block * blockBytes(bits);
      for (let i = start; i < start + QUANT_BLOCK; i++) {
        const exact = i < end ? values[i]! * inverse : 0;
        const code = Math.max(0, Math.min(most, Math.floor(exact + zero + 0.5)));
        const place = i - start;
        if (bits === 8) codes[at + place] = code;
        else if (place % 2 === 0) codes[at + (place >> 1)] = code;
        else codes[at + (place >> 1)]! |= code << 4;
      }
      block++;
    }
  }
}

/** Writes the values that the codes stand for: [out, in]. */
export function dequantise({ bits, codes, scales, dims }: QuantisedWeight, target: Float32Array): void {
  const [out, inner] = dims;
  const bytes = blockBytes(bits);
  let [block, next] = [0, 0];
  for (let row = 0; row < out; row++) {
    for (let left = inner; left > 0; left -= QUANT_BLOCK) {
      const [at, scale, size] = [block * bytes, scales[block]!, Math.min(left, QUANT_BLOCK)];
      if (bits === 8) for (let i = 0; i < size; i++) target[next++] = (codes[at + i]! - 128) * scale;
      else {
        for (let i = 0; i + 1 < size; i += 2) {
          const pair = codes[at + (i >> 1)]!;
          target[next++] = ((pair & 15) - 8) * scale;
          target[next++] = ((pair >> 4) - 8) * scale;
        }
        if (size % 2 === 1) target[next++] = ((codes[at + (size >> 1)]! & 15) - 8) * scale;
      }
      block++;
    }
  }
}
