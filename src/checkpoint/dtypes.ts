/**
 * Conversion between float32 and float16 or bfloat16, bitwise on typed arrays, rounding to nearest, ties to even.
 * For little-endian hosts only, as are all platforms that ONNX Runtime ships for. Knows nothing about files.
 */

/** The dtypes of weights, in safetensors spelling. */
export type WeightDtype = 'F32' | 'F16' | 'BF16';

/** The same, as config.json and the command line spell them. */
export type DtypeName = 'float32' | 'float16' | 'bfloat16';

export const DTYPE_OF_NAME: Readonly<Record<DtypeName, WeightDtype>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
};

/**
 * Converts stored values to float32, exactly.
 *
 * @param bits as many 16-bit words as `target` has elements (32-bit words for F32)
 */
export function widen(dtype: WeightDtype, bits: Uint16Array | Uint32Array, target: Float32Array): void {
  if (bits.length !== target.length)
    throw new Error(`internal: widen ${bits.length} words into ${target.length} floats`);
  const out = bitsOf(target);
  if (dtype === 'F32') out.set(bits);
  else if (dtype === 'BF16') for (let i = 0; i < out.length; i++) out[i] = bits[i]! << 16;
  else {
    const table = halfTable();
    for (let i = 0; i < out.length; i++) out[i] = table[bits[i]!]!;
  }
}

/** Converts float32 to stored words, rounding to nearest even. Values out of range become infinite; NaN stays NaN. */
export function narrow(dtype: WeightDtype, source: Float32Array, target: Uint16Array | Uint32Array): void {
  if (source.length !== target.length) {
    throw new Error(`internal: narrow ${source.length} floats into ${target.length} words`);
  }
  const bits = bitsOf(source);
  if (dtype === 'F32') target.set(bits);
  else if (dtype === 'BF16') for (let i = 0; i < bits.length; i++) target[i] = bfloat16Bits(bits[i]!);
  else for (let i = 0; i < bits.length; i++) target[i] = float16Bits(bits[i]!);
}

/** Index of the first NaN or infinity among stored words, or -1. */
export function firstNonFinite(dtype: WeightDtype, words: Uint16Array | Uint32Array): number {
  const exponent = dtype === 'F32' ? 0x7f800000 : dtype === 'BF16' ? 0x7f80 : 0x7c00;
  if (allFinite(exponent, words)) return -1;
  for (let i = 0; i < words.length; i++) if ((words[i]! & exponent) === exponent) return i;
  return -1;
}

/** An array of the words in which a dtype is stored. */
export function allocateWords(dtype: WeightDtype, count: number): Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  return dtype === 'F32' ? new Uint32Array(count) : new Uint16Array(count);
}

/** The bytes of a typed array, without a copy. */
export function bytesOf(array: Uint16Array | Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

// --- internal ---

/**
 * Whether no word is NaN or infinite, that is, no exponent is all ones. Adding an exponent's lowest bit to it carries into the
 * sign bit only if it is all ones. Works on 32 bits at a time, because every loaded weight passes here; takes a quarter of
 * the time of widening.
 */
function allFinite(exponent: number, words: Uint16Array | Uint32Array): boolean {
  const twice = words.BYTES_PER_ELEMENT === 2 ? 0x10001 : 1;
  if (words.byteOffset % 4 !== 0 || words.byteLength % 4 !== 0) return false; // unaligned: the caller checks word by word
  const bits = new Int32Array(words.buffer, words.byteOffset, words.byteLength / 4);
  const mask = exponent * twice;
  const one = (exponent & -exponent) * twice;
  let sums = 0;
  let i = 0;
  for (; i + 3 < bits.length; i += 4) {
    sums |= (bits[i]! & mask) + one;
    sums |= (bits[i + 1]! & mask) + one;
    sums |= (bits[i + 2]! & mask) + one;
    sums |= (bits[i + 3]! & mask) + one;
  }
  for (; i < bits.length; i++) sums |= (bits[i]! & mask) + one;
  return (sums & (twice === 1 ? 0x80000000 : 0x80008000)) === 0;
}

function bitsOf(array: Float32Array): Uint32Array {
  return new Uint32Array(array.buffer, array.byteOffset, array.length);
}

/** bfloat16 is the upper half of a float32. Adding 0x7fff, or 0x8000 if the upper half is odd, rounds to nearest even. */
function bfloat16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // NaN: set a payload bit, since the payload may be in the lower half only
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

const magic = new Float32Array(1);
const magicBits = new Uint32Array(magic.buffer);

function float16Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const abs = bits & 0x7fffffff;
  if (abs > 0x7f800000) return sign | 0x7e00 | ((abs >>> 13) & 0x3ff);
  if (abs >= 0x47800000) return sign | 0x7c00; // 65536 and above
  if (abs < 0x38800000) {
    // Below 2^-14 the half is subnormal, in steps of 2^-24. Floats near 0.5 have the same spacing, so adding 0.5 rounds.
    magicBits[0] = abs;
    magic[0] = magic[0]! + 0.5;
    return sign | (magicBits[0]! - 0x3f000000);
  }
  // Changes the exponent bias from 127 to 15. A carry out of the mantissa correctly increases the exponent, up to infinity.
  return sign | ((abs - 0x38000000 + 0xfff + ((abs >>> 13) & 1)) >>> 13);
}

let halves: Uint32Array | undefined;

/** The float32 bits of every float16. */
function halfTable(): Uint32Array {
  if (halves !== undefined) return halves;
  const table = new Float32Array(1 << 16);
  for (let h = 0; h < 1 << 15; h++) {
    const exponent = h >>> 10;
    const mantissa = h & 0x3ff;
    if (exponent === 0) table[h] = mantissa * 2 ** -24;
    else if (exponent < 31) table[h] = (1 + mantissa / 1024) * 2 ** (exponent - 15);
  }
  halves = bitsOf(table);
  for (let h = 0x7c00; h < 0x8000; h++) halves[h] = 0x7f800000 | ((h & 0x3ff) << 13);
  for (let h = 0; h < 1 << 15; h++) halves[h | 0x8000] = halves[h]! | 0x80000000;
  return halves;
}
