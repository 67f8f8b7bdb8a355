/**
 * Parses and builds the header of a safetensors file, by the rules of the Rust crate `safetensors`.
 * Safe for hostile input: accepts only what the format allows, does not recurse, allocates in proportion to the header.
 */
import {
  brief,
  DTYPE_BITS,
  invalid,
  quoted,
  readHeaderText,
  type SafetensorsDtype,
  type SafetensorsEntry,
} from './safetensors_grammar.ts';

export type { SafetensorsDtype, SafetensorsEntry };
export { DTYPE_BITS };

export interface SafetensorsHeader {
  /** Entries by name, in the order of the data. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** The crate's limit on the header, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Size of the length field before the header, in bytes. */
export const LENGTH_BYTES = 8;

/**
 * The length of the header, from the first eight bytes of the file.
 *
 * Errors: E_SAFETENSORS_INVALID.
 */
export function headerLength(prefix: Uint8Array, fileSize: number, where: string): number {
  if (fileSize < LENGTH_BYTES || prefix.length < LENGTH_BYTES) {
    throw invalid(where, `the file has ${fileSize} bytes, too few for a header (HeaderTooSmall)`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw invalid(where, `header length is ${length}, at most ${MAX_HEADER_BYTES} is allowed (HeaderTooLarge)`);
  }
  if (Number(length) + LENGTH_BYTES > fileSize) {
    throw invalid(where, `header length is ${length}, but the file has ${fileSize} bytes (InvalidHeaderLength)`);
  }
  return Number(length);
}

/**
 * Parses and checks a header: known fields and dtypes only, no duplicate names, and data that covers the rest of the file
 * without gaps or overlaps.
 *
 * Errors: E_SAFETENSORS_INVALID, naming the file, the tensor and the rule (as the crate names it).
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, where: string): SafetensorsHeader {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw invalid(where, 'header is not UTF-8 (InvalidHeader)', cause);
  }
  const { tensors, metadata } = readHeaderText(text, where);
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const base = LENGTH_BYTES + bytes.length;
  const entries = new Map<string, SafetensorsEntry>();
  let position = 0;
  for (const { name, dtype, shape, begin, end } of tensors) {
    if (begin !== position || end < begin) {
      const expected = `expected data to start at ${position}`;
      throw invalid(where, `tensor ${quoted(name)} lies at bytes ${begin} to ${end}, ${expected} (InvalidOffset)`);
    }
    const size = byteSize(dtype, shape);
    if (size === null)
      throw invalid(where, `tensor ${quoted(name)}: shape ${brief(shape)} overflows (ValidationOverflow)`);
    if (end - begin !== size) {
      const stated = `its offsets give ${end - begin}`;
      throw invalid(
        where,
        `tensor ${quoted(name)}: ${dtype} of shape ${brief(shape)} needs ${size} bytes, ${stated} (TensorInvalidInfo)`,
      );
    }
    entries.set(name, { name, dtype, shape, begin: base + begin, end: base + end });
    position = end;
  }
  if (base + position !== fileSize) {
    const state = base + position > fileSize ? 'cut off' : 'longer than its header says';
    const sizes = `it has ${fileSize} bytes, expected ${base + position}`;
    throw invalid(where, `file is ${state}: ${sizes} (MetadataIncompleteBuffer)`);
  }
  return { entries, metadata };
}

/** Size of a tensor in bytes; null if it overflows or is not a whole number of bytes. */
export function byteSize(dtype: SafetensorsDtype, shape: readonly number[]): number | null {
  let bits: number = DTYPE_BITS[dtype];
  for (const dim of shape) {
    bits *= dim;
    if (!Number.isSafeInteger(bits)) return null;
  }
  return bits % 8 === 0 ? bits / 8 : null;
}

/**
 * Builds the header for tensors stored one after another in the given order, padded so that the data starts at a multiple of
 * 8 bytes.
 */
export function buildHeader(
  tensors: readonly { name: string; dtype: SafetensorsDtype; shape: readonly number[] }[],
  metadata: Readonly<Record<string, string>>,
): { bytes: Uint8Array; entries: Map<string, SafetensorsEntry>; fileSize: number } {
  const parts = [`"__metadata__":${JSON.stringify(metadata)}`];
  const relative = new Map<string, SafetensorsEntry>();
  let position = 0;
  for (const { name, dtype, shape } of tensors) {
    const size = byteSize(dtype, shape);
    if (size === null) throw new Error(`internal: tensor ${name} of shape ${brief(shape)} cannot be stored`);
    if (relative.has(name) || name === '__metadata__') throw new Error(`internal: tensor name ${name} twice in a file`);
    relative.set(name, { name, dtype, shape, begin: position, end: position + size });
    const info = { dtype, shape, data_offsets: [position, position + size] };
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    position += size;
  }
  const json = new TextEncoder().encode(`{${parts.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) throw new Error(`internal: safetensors header of ${length} bytes is too large`);
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, LENGTH_BYTES);
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, entry] of relative) {
    entries.set(name, { ...entry, begin: entry.begin + bytes.length, end: entry.end + bytes.length });
  }
  return { bytes, entries, fileSize: bytes.length + position };
}
