/**
 * Weights of 16 bits in memory, as float16 words times a power of two: the form from which ONNX Runtime widens fastest.
 * A float16 has more digits than a bfloat16, but a smaller range. The power of two moves the largest weight of a tensor to the
 * upper end of that range. Below it lie 29 binades in which every bfloat16 is exact; what is smaller is rounded by at most
 * 2^-39 of the largest weight, which float32 sums of such products cannot tell.
 */
import { narrow, widen } from './dtypes.ts';

/** A weight [out, in] as words: its values are float16(words) / 2^shift. */
export interface HalfWeight {
  readonly kind: 'half';
  /** [out / block, in, block]: the outputs in blocks of neighbours, in which decoding reads them. 1: rows, as in a checkpoint. */
  readonly words: Uint16Array<ArrayBuffer>;
  readonly block: number;
  readonly shift: number;
  readonly dims: readonly [number, number];
}

/** Largest exponent of the words: values stay below 2^15, within float16. */
const TOP = 14;

/** The shift for a tensor whose largest absolute value is `largest`. */
export function shiftFor(largest: number): number {
  return largest === 0 ? 0 : TOP - Math.floor(Math.log2(largest));
}

/** Writes float32 values, times 2^shift, into words. Overwrites `values`. */
export function toHalf(values: Float32Array, shift: number, words: Uint16Array): void {
  const factor = 2 ** shift;
  for (let i = 0; i < values.length; i++) values[i]! *= factor;
  narrow('F16', values, words);
}

/** Words of rows [out, in] with their outputs in blocks: [out / block, in, block]. `out` is a multiple of the block. */
export function toBlocks(rows: Uint16Array, inner: number, block: number, into: Uint16Array): void {
  for (let first = 0, next = 0; next < rows.length; first += block * inner) {
    for (let i = first; i < first + inner; i++) {
      for (let at = i; at < first + block * inner; at += inner) into[next++] = rows[at]!;
    }
  }
}

/**
 * Holds a weight [out, in].
 *
 * @param values overwritten, unless they are bfloat16
 * @param block see `HalfWeight`; a divisor of `out`
 * @param areBfloat whether all values are those of bfloat16 words, of which a table has every word
 */
export function holdHalf(
  values: Float32Array,
  dims: readonly [number, number],
  block: number,
  areBfloat: boolean,
): HalfWeight {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let largest = 0; // numbers without a sign are in the order of their bits
  for (let i = 0; i < bits.length; i++) largest = Math.max(largest, bits[i]! & 0x7fffffff);
  const shift = shiftFor(new Float32Array(Uint32Array.of(largest).buffer)[0]!);
  const words = new Uint16Array(values.length);
  if (areBfloat) bfloatToHalf(bits, shift, dims[1], block, words);
  else {
    const rows = new Uint16Array(values.length);
    toHalf(values, shift, rows);
    toBlocks(rows, dims[1], block, words);
  }
  return { kind: 'half', words, block, shift, dims };
}

/** Writes the values of a weight into `target` [out, in]. */
export function widenHalf({ words, block, shift, dims: [out, inner] }: HalfWeight, target: Float32Array): void {
  const table = tableOf(shift);
  for (let row = 0, next = 0; row < out; row++) {
    const lane = row % block;
    const end = (row - lane + block) * inner;
    for (let at = (row - lane) * inner + lane; at < end; at += block) target[next++] = table[words[at]!]!;
  }
}

// --- internal ---

/** toHalf and toBlocks of float32 values whose lower halves are 0. */
function bfloatToHalf(bits: Uint32Array, shift: number, inner: number, block: number, words: Uint16Array): void {
  const values = new Float32Array(1 << 16);
  const upper = new Uint32Array(values.buffer);
  for (let word = 0; word < upper.length; word++) upper[word] = word << 16;
  const table = new Uint16Array(1 << 16);
  toHalf(values, shift, table);
  for (let first = 0, next = 0; next < bits.length; first += block * inner) {
    for (let i = first; i < first + inner; i++) {
      for (let at = i; at < first + block * inner; at += inner) words[next++] = table[bits[at]! >>> 16]!;
    }
  }
}

/** The values of all words, by shift. Tensors of a model have few different ones. */
const tables = new Map<number, Float32Array>();

function tableOf(shift: number): Float32Array {
  const known = tables.get(shift);
  if (known !== undefined) return known;
  const table = new Float32Array(1 << 16);
  widen(
    'F16',
    Uint16Array.from(table, (_, word) => word),
    table,
  );
  const factor = 2 ** -shift;
  for (let word = 0; word < table.length; word++) table[word]! *= factor;
  tables.set(shift, table);
  return table;
}
