/**
 * The header of a safetensors file: bytes -> checked entries, entries -> bytes, by the rules of the Rust crate `safetensors`.
 * Written for hostile input: reads only what the format allows, nests nothing, allocates in proportion to the header.
 */
import { SightlineError } from '../errors.ts';

/** Bits of an element of every dtype the crate knows. */
export const DTYPE_BITS = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  I64: 64,
  U64: 64,
  F64: 64,
  C64: 64,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BITS;

export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** First byte in the file, counted from its start. */
  readonly begin: number;
  /** One past the last byte. */
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of the data. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** The crate's cap on the header, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Bytes of the length that precedes the header. */
export const LENGTH_BYTES = 8;

/**
 * Length of the header, from the first eight bytes.
 *
 * Errors: E_SAFETENSORS_INVALID.
 */
export function headerLength(prefix: Uint8Array, fileSize: number, where: string): number {
  if (fileSize < LENGTH_BYTES || prefix.length < LENGTH_BYTES) {
    throw invalid(where, `file has ${fileSize} bytes, too few for a header (HeaderTooSmall)`);
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
 * Parses and checks a header: known fields only, no name twice, known dtypes, and data that covers the rest of the file
 * without gap or overlap.
 *
 * Errors: E_SAFETENSORS_INVALID naming the file, the tensor and the rule (in the crate's words).
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, where: string): SafetensorsHeader {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw invalid(where, 'header is not UTF-8 (InvalidHeader)', cause);
  }
  const { tensors, metadata } = new HeaderReader(text, where).read();
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

/** Bytes of a tensor; null when the product overflows or is no whole number of bytes. */
export function byteSize(dtype: SafetensorsDtype, shape: readonly number[]): number | null {
  let bits: number = DTYPE_BITS[dtype];
  for (const dim of shape) {
    bits *= dim;
    if (!Number.isSafeInteger(bits)) return null;
  }
  return bits % 8 === 0 ? bits / 8 : null;
}

/**
 * A header for tensors laid out one after another in the given order, padded so that the data start at a multiple of 8.
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

// --- internal ---

function invalid(where: string, message: string, cause?: unknown): SightlineError {
  return new SightlineError('E_SAFETENSORS_INVALID', message, {
    where,
    hint: 'the file is damaged, incomplete or no safetensors file; fetch it again',
    cause,
  });
}

/** A foreign string as a message shows it: short, and without control characters that would reach the terminal. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 97)}...` : text);
}

function brief(shape: readonly number[]): string {
  return shape.length > 8 ? `[${shape.slice(0, 8)},...] (${shape.length} dimensions)` : `[${shape}]`;
}

/** `name`, with offsets relative to the data. */
type RelativeEntry = SafetensorsEntry;

/**
 * Reads exactly `{ name: { dtype, shape, data_offsets }, "__metadata__": { key: string } }`. JSON.parse would keep the last of
 * two equal keys without a word, and builds whatever a hostile header nests.
 */
class HeaderReader {
  readonly #text: string;
  readonly #where: string;
  #at = 0;

  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  read(): { tensors: RelativeEntry[]; metadata: Map<string, string> } {
    const tensors: RelativeEntry[] = [];
    let metadata = new Map<string, string>();
    if (!this.#text.startsWith('{')) throw this.#refuse('header does not start with {', 'InvalidHeaderStart');
    this.#object('header', (name) => {
      if (name === '__metadata__') metadata = this.#strings();
      else tensors.push(this.#tensor(name));
    });
    this.#space();
    if (this.#at !== this.#text.length) throw this.#unexpected('the end of the header');
    return { tensors, metadata };
  }

  #tensor(name: string): RelativeEntry {
    let dtype: SafetensorsDtype | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object(`tensor ${quoted(name)}`, (field) => {
      if (field === 'dtype') dtype = this.#dtype(name);
      else if (field === 'shape') shape = this.#integers(`tensor ${quoted(name)}: shape`);
      else if (field === 'data_offsets') offsets = this.#integers(`tensor ${quoted(name)}: data_offsets`);
      else throw this.#refuse(`tensor ${quoted(name)}: unknown field ${quoted(field)}`);
    });
    if (dtype === undefined) throw this.#refuse(`tensor ${quoted(name)}: dtype is missing`);
    if (shape === undefined) throw this.#refuse(`tensor ${quoted(name)}: shape is missing`);
    const [begin, end, ...rest] = offsets ?? [];
    if (begin === undefined || end === undefined || rest.length > 0) {
      throw this.#refuse(`tensor ${quoted(name)}: data_offsets must be two integers`);
    }
    return { name, dtype, shape, begin, end };
  }

  #dtype(name: string): SafetensorsDtype {
    const value = this.#string();
    if (!isDtype(value)) throw this.#refuse(`tensor ${quoted(name)}: unknown dtype ${quoted(value)}`);
    return value;
  }

  #strings(): Map<string, string> {
    const map = new Map<string, string>();
    this.#object('__metadata__', (key) => {
      map.set(key, this.#string());
    });
    return map;
  }

  /** `{ "key": ... }`; `member` reads the value of the key it is given. */
  #object(what: string, member: (key: string) => void): void {
    this.#take('{');
    const seen = new Set<string>();
    if (this.#next('}')) return;
    do {
      const key = this.#string();
      if (seen.has(key)) throw this.#refuse(`${what}: key ${quoted(key)} is there twice`);
      seen.add(key);
      this.#take(':');
      member(key);
    } while (this.#next(','));
    this.#take('}');
  }

  #integers(what: string): number[] {
    const values: number[] = [];
    this.#take('[');
    if (this.#next(']')) return values;
    do values.push(this.#integer(what));
    while (this.#next(','));
    this.#take(']');
    return values;
  }

  #integer(what: string): number {
    this.#space();
    const start = this.#at;
    // 17 digits are more than a safe integer has, so a longer run need not be read to be refused.
    while (this.#at - start < 17 && isDigit(this.#text.charCodeAt(this.#at))) this.#at++;
    const digits = this.#text.slice(start, this.#at);
    if (digits === '' || (digits.length > 1 && digits.startsWith('0')))
      throw this.#unexpected(`${what} as whole numbers`);
    const value = Number(digits);
    if (!Number.isSafeInteger(value)) throw this.#refuse(`${what}: ${digits}... is too large`, 'ValidationOverflow');
    return value;
  }

  #string(): string {
    this.#space();
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#unexpected('a string');
    let end = start;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) throw this.#unexpected('a closed string');
    } while (isEscaped(this.#text, end));
    this.#at = end + 1;
    try {
      const value: unknown = JSON.parse(this.#text.slice(start, end + 1));
      if (typeof value === 'string') return value;
    } catch {
      // a control character or a bad escape; refused below
    }
    this.#at = start;
    throw this.#unexpected('a valid string');
  }

  /** Steps over the character if it comes next. */
  #next(char: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #take(char: string): void {
    if (!this.#next(char)) throw this.#unexpected(`'${char}'`);
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #unexpected(expected: string): SightlineError {
    const found = this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 12)) : 'the end';
    return this.#refuse(`header: expected ${expected} at character ${this.#at}, found ${found}`);
  }

  #refuse(message: string, rule = 'InvalidHeaderDeserialization'): SightlineError {
    return invalid(this.#where, `${message} (${rule})`);
  }
}

function isDtype(value: string): value is SafetensorsDtype {
  return Object.hasOwn(DTYPE_BITS, value);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Whether an odd number of backslashes precedes the position. */
function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - 1 - slashes] === '\\') slashes++;
  return slashes % 2 === 1;
}
