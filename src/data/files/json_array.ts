/**
 * Reads JSON: one array of rows. The array is cut into its entries while it is read, so the longest entry bounds the memory.
 * Knows brackets, strings and commas; an entry is validated when it is parsed.
 */
import { SightlineError } from '../../errors.ts';
import { parseJsonRow } from './json_text.ts';
import { bomBytes, CHUNK_BYTES, isBlank, MAX_ROW_BYTES, NEWLINE } from './lines.ts';
import type { RandomAccess } from './random_access.ts';
import { lineOf, type Place, type RowFile } from './row_file.ts';

export function openJsonArray(file: RandomAccess): RowFile {
  const where = (place: Place): string => lineOf(file.path, place);
  return {
    path: file.path,
    where,
    async *rows() {
      for await (const { place, bytes } of entriesOf(file)) {
        yield { place, bytes: bytes.length, value: () => parseJsonRow(bytes, 'row', where(place)) };
      }
    },
    read: async (place) => parseJsonRow(await file.read(place.at, place.size), 'row', where(place)),
    release: file.release,
  };
}

// --- internal ---

interface Entry {
  /** Position of its first byte and first line. */
  readonly place: Place;
  readonly bytes: Uint8Array;
}

const [OPEN, CLOSE, OPEN_OBJECT, CLOSE_OBJECT, COMMA, QUOTE, BACKSLASH] = [...Buffer.from('[]{},"\\')] as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

type State = 'before' | 'first' | 'entry' | 'next' | 'after';

/** The entries between the array's brackets and commas. Errors: E_DATASET_FORMAT if a bracket or comma is missing or misplaced. */
async function* entriesOf(file: RandomAccess): AsyncGenerator<Entry> {
  let state = 'before' as State;
  let line = 1;
  let depth = 0;
  let inText = false;
  let isEscaped = false;
  let begin: Place = { at: 0, size: 0, number: 1 };
  let pieces: Uint8Array[] = [];
  const fault = (message: string, hint: string): SightlineError =>
    new SightlineError('E_DATASET_FORMAT', message, { where: `${file.path}:${line}`, hint });
  const unexpected = (byte: number, expected: string): SightlineError =>
    fault(
      `${JSON.stringify(String.fromCharCode(byte))} stands where the array needs ${expected}`,
      'a JSON dataset is one array of objects: [{...}, {...}]',
    );

  for (let position = 0; position < file.size; ) {
    const chunk = await file.read(position, CHUNK_BYTES);
    let from = 0;
    const first = position === 0 ? bomBytes(chunk) : 0;
    for (let i = first; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (byte === NEWLINE) line++;
      if (state === 'entry') {
        if (inText) {
          if (isEscaped) isEscaped = false;
          else if (byte === BACKSLASH) isEscaped = true;
          else if (byte === QUOTE) inText = false;
          continue;
        }
        if (byte === QUOTE) inText = true;
        else if (byte === OPEN || byte === OPEN_OBJECT) depth++;
        else if (depth > 0 && (byte === CLOSE || byte === CLOSE_OBJECT)) depth--;
        else if (depth === 0 && (byte === COMMA || byte === CLOSE)) {
          const bytes = Buffer.concat([...pieces, chunk.subarray(from, i)]);
          pieces = [];
          yield { place: { ...begin, size: bytes.length }, bytes };
          state = byte === COMMA ? 'next' : 'after';
        }
        continue;
      }
      if (isBlank(byte)) continue;
      if (state === 'before' && byte === OPEN) state = 'first';
      else if (state === 'first' && byte === CLOSE) state = 'after';
      else if (state === 'after' || state === 'before') throw unexpected(byte, state === 'after' ? 'its end' : '[');
      else if (byte === COMMA || byte === CLOSE) throw unexpected(byte, 'a row');
      else {
        state = 'entry';
        begin = { at: position + i, size: 0, number: line };
        from = i;
        [depth, inText] = [byte === OPEN || byte === OPEN_OBJECT ? 1 : 0, byte === QUOTE];
      }
    }
    position += chunk.length;
    if ((state as State) !== 'entry') continue;
    pieces.push(chunk.subarray(from));
    if (position - begin.at > MAX_ROW_BYTES) {
      const hint = 'keep images in files instead of in the row; if the row is short, a quote or bracket is not closed';
      throw fault(`the row that begins on line ${begin.number} has more than ${MAX_ROW_BYTES} bytes`, hint);
    }
  }
  if (state === 'after') return;
  const open = state === 'entry' ? `the row that begins on line ${begin.number} is` : 'the array is';
  throw fault(`the file ends before ${open} closed`, 'the file may be cut off: write it again, or fetch it again');
}
