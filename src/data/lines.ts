/**
 * Reads a text file line by line with byte positions. Memory is bounded by the longest line.
 * Knows bytes and UTF-8, not JSON.
 */
import type { FileHandle } from 'node:fs/promises';
import { messageOf, SightlineError } from '../errors.ts';
import { openRegularFile } from '../util/regular_file.ts';

export interface Line {
  /** Counted from 1, including blank lines. */
  readonly number: number;
  /** Byte position of `bytes` in the file. */
  readonly begin: number;
  /** Without a byte order mark and without the line ending. */
  readonly bytes: Uint8Array;
}

/** Longer lines are refused. */
const MAX_LINE_BYTES = 128 * 1024 * 1024;

/** Opens a dataset file, which must be a regular file. Errors: E_DATASET_MISSING, E_DATASET_UNREADABLE. */
export async function openDataFile(path: string): Promise<FileHandle> {
  const { handle } = await openRegularFile(path, {
    missing: (cause) =>
      new SightlineError('E_DATASET_MISSING', `dataset not found: ${path}`, {
        hint: 'give the path of a JSONL file; datasets are not downloaded by name',
        cause,
      }),
    unreadable: (cause) =>
      new SightlineError('E_DATASET_UNREADABLE', `dataset cannot be read: ${messageOf(cause)}`, {
        where: path,
        cause,
      }),
    notRegular: (kind) =>
      new SightlineError('E_DATASET_UNREADABLE', `dataset is ${kind}, not a regular file: ${path}`, {
        hint: 'give the path of a JSONL file',
      }),
  });
  return handle;
}

/** Yields the lines of an open file and skips blank ones. Error: E_DATASET_LINE if a line is too long. */
export async function* readLines(handle: FileHandle, path: string): AsyncGenerator<Line> {
  const chunk = new Uint8Array(1 << 20);
  let number = 0;
  let begin = 0; // of the line being read
  let position = 0; // of the next chunk
  let pieces: Uint8Array[] = [];
  const take = (last: Uint8Array): Line | null => {
    number++;
    const whole = pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
    pieces = [];
    const bom = number === 1 && whole[0] === 0xef && whole[1] === 0xbb && whole[2] === 0xbf ? 3 : 0;
    const end = whole.at(-1) === CARRIAGE_RETURN ? whole.length - 1 : whole.length;
    const line = { number, begin: begin + bom, bytes: whole.slice(bom, Math.max(bom, end)) };
    begin += whole.length + 1;
    return line.bytes.every(isBlank) ? null : line;
  };
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const read = chunk.subarray(0, bytesRead);
    let from = 0;
    for (let at = read.indexOf(NEWLINE); at !== -1; at = read.indexOf(NEWLINE, from)) {
      const line = take(read.subarray(from, at));
      from = at + 1;
      if (line !== null) yield line;
    }
    if (from < bytesRead) pieces.push(read.slice(from));
    if (position - begin > MAX_LINE_BYTES) {
      throw new SightlineError('E_DATASET_LINE', `line has more than ${MAX_LINE_BYTES} bytes`, {
        where: `${path}:${number + 1}`,
        hint: 'keep images in files instead of in the line; one JSON object per line',
      });
    }
  }
  if (begin < position) {
    const line = take(new Uint8Array(0));
    if (line !== null) yield line;
  }
}

// --- internal ---

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === CARRIAGE_RETURN;
}
