/**
 * Reads a text file line by line with byte positions. Memory is bounded by the longest line.
 * Knows bytes and UTF-8, not JSON.
 */
import { SightlineError } from '../../errors.ts';
import type { RandomAccess } from './random_access.ts';

export interface Line {
  /** Counted from 1, including blank lines. */
  readonly number: number;
  /** Byte position of `bytes` in the file. */
  readonly begin: number;
  /** Without a byte order mark and without the line ending. */
  readonly bytes: Uint8Array;
}

/** Longer rows of text files are refused. */
export const MAX_ROW_BYTES = 128 * 1024 * 1024;

/** Bytes of a text file that are read at once. */
export const CHUNK_BYTES = 1 << 20;

/** Yields the lines of a file and skips blank ones. Error: E_DATASET_LINE if a line is too long. */
export async function* readLines(file: RandomAccess): AsyncGenerator<Line> {
  let number = 0;
  let begin = 0; // of the line being read
  let pieces: Uint8Array[] = [];
  const take = (last: Uint8Array): Line | null => {
    number++;
    const whole = pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
    pieces = [];
    const bom = number === 1 ? bomBytes(whole) : 0;
    const end = whole.at(-1) === CARRIAGE_RETURN ? whole.length - 1 : whole.length;
    const line = { number, begin: begin + bom, bytes: whole.slice(bom, Math.max(bom, end)) };
    begin += whole.length + 1;
    return line.bytes.every(isBlank) ? null : line;
  };
  let position = 0;
  while (position < file.size) {
    const chunk = await file.read(position, CHUNK_BYTES);
    position += chunk.length;
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      const line = take(chunk.subarray(from, at));
      from = at + 1;
      if (line !== null) yield line;
    }
    if (from < chunk.length) pieces.push(chunk.slice(from));
    if (position - begin > MAX_ROW_BYTES) {
      throw new SightlineError('E_DATASET_LINE', `line has more than ${MAX_ROW_BYTES} bytes`, {
        where: `${file.path}:${number + 1}`,
        hint: 'keep images in files instead of in the line; one JSON object per line',
      });
    }
  }
  if (begin < position) {
    const line = take(new Uint8Array(0));
    if (line !== null) yield line;
  }
}

/** Length of the byte order mark at the start of a text; 0 if there is none. */
export function bomBytes(start: Uint8Array): number {
  return start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf ? 3 : 0;
}

export const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Whether the byte is white space in JSON. */
export function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === CARRIAGE_RETURN || byte === NEWLINE;
}
