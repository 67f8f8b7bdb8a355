/**
 * The grammar of a safetensors header: reads the text into entries, and refuses anything outside the grammar.
 * Checks syntax only; the caller checks that the entries fit the file.
 */
import { SightlineError } from '../errors.ts';

/** Bits per element, for every dtype that the crate knows. */
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
  /** Offset of the first byte in the file. */
  readonly begin: number;
  /** Offset one past the last byte. */
  readonly end: number;
}

/**
 * Reads the entries, in the order of the text and with offsets relative to the data, and the free-form metadata.
 *
 * Errors: E_SAFETENSORS_INVALID.
 */
export function readHeaderText(
  text: string,
  where: string,
): { tensors: SafetensorsEntry[]; metadata: Map<string, string> } {
  return new HeaderReader(text, where).read();
}

/** The error for an invalid file; the message ends with the rule, as the Rust crate names it. */
export function invalid(where: string, message: string, cause?: unknown): SightlineError {
  return new SightlineError('E_SAFETENSORS_INVALID', message, {
    where,
    hint: 'the file is damaged, incomplete or not a safetensors file; fetch it again',
    cause,
  });
}

/** A foreign string for a message: shortened, and with control characters escaped. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 97)}...` : text);
}

/** A shape for a message, shortened. */
export function brief(shape: readonly number[]): string {
  return shape.length > 8 ? `[${shape.slice(0, 8)},...] (${shape.length} dimensions)` : `[${shape}]`;
}

// --- internal ---

/** The most dimensions that numpy and torch allow. */
const MAX_DIMENSIONS = 64;

/**
 * Reads exactly `{ name: { dtype, shape, data_offsets }, "__metadata__": { key: string } }`. JSON.parse would silently keep the
 * last of two equal keys, and would build any nesting that a hostile header contains.
 */
class HeaderReader {
  readonly #text: string;
  readonly #where: string;
  #at = 0;

  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  read(): { tensors: SafetensorsEntry[]; metadata: Map<string, string> } {
    const tensors: SafetensorsEntry[] = [];
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

  #tensor(name: string): SafetensorsEntry {
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

  /** Reads `{ "key": ... }`; `member` reads the value of a key. */
  #object(what: string, member: (key: string) => void): void {
    this.#take('{');
    const seen = new Set<string>();
    if (this.#next('}')) return;
    do {
      const key = this.#string();
      if (seen.has(key)) throw this.#refuse(`${what}: key ${quoted(key)} occurs twice`);
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
    do {
      if (values.length === MAX_DIMENSIONS) throw this.#refuse(`${what} has more than ${MAX_DIMENSIONS} entries`);
      values.push(this.#integer(what));
    } while (this.#next(','));
    this.#take(']');
    return values;
  }

  #integer(what: string): number {
    this.#space();
    const start = this.#at;
    // 17 digits are more than a safe integer has, so longer numbers can be refused without reading them fully.
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
      // a control character or an invalid escape; refused below
    }
    this.#at = start;
    throw this.#unexpected('a valid string');
  }

  /** Skips the character if it comes next. */
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
