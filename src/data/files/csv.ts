/**
 * Reads CSV (RFC 4180, with a header) and TSV. The file is cut into records, and csv-parse parses each.
 * CSV has no types, so cells are texts. An empty cell has no value unless it is quoted.
 */
import { type CsvError, parse } from 'csv-parse/sync';
import { messageOf, SightlineError } from '../../errors.ts';
import { shownNames } from '../columns.ts';
import { decodeUtf8 } from './json_text.ts';
import { bomBytes, CHUNK_BYTES, isBlank, MAX_ROW_BYTES, NEWLINE } from './lines.ts';
import type { RandomAccess } from './random_access.ts';
import { lineOf, type Place, type RowFile } from './row_file.ts';

/** Errors: E_DATASET_FORMAT if the header has no columns or names one twice. */
export async function openCsv(file: RandomAccess, delimiter: ',' | '\t'): Promise<RowFile> {
  const where = (place: Place): string => lineOf(file.path, place);
  const columns = await headerOf(file, delimiter);
  const rowOf = (bytes: Uint8Array, at: string): unknown => {
    const cells = cellsOf(bytes, delimiter, at);
    if (cells.length !== columns.length) throw ragged(cells.length, columns, at);
    return Object.fromEntries(columns.map((name, i) => [name, parsedCell(name, cells[i]!)]));
  };
  return {
    path: file.path,
    where,
    async *rows() {
      let isHeader = true;
      for await (const { place, bytes } of recordsOf(file)) {
        if (!isHeader) yield { place, bytes: bytes.length, value: () => rowOf(bytes, where(place)) };
        isHeader = false;
      }
    },
    read: async (place) => rowOf(await file.read(place.at, place.size), where(place)),
    release: file.release,
  };
}

// --- internal ---

const QUOTE = 0x22;

/**
 * Records with their positions; `line` is the first line of the record. Blank lines are skipped. A line break inside quotes
 * belongs to its cell. A quote inside a cell is doubled, so counting quotes tells which line breaks are inside.
 */
async function* recordsOf(file: RandomAccess): AsyncGenerator<{ place: Place; bytes: Uint8Array }> {
  let begin = 0;
  let line = 1;
  let beginLine = 1;
  let isQuoted = false;
  let isEmpty = true;
  let pieces: Uint8Array[] = [];
  const take = (last: Uint8Array) => {
    const bytes = Buffer.concat([...pieces, last]);
    pieces = [];
    return { place: { at: begin, size: bytes.length, number: beginLine }, bytes };
  };
  for (let position = 0; position < file.size; ) {
    const chunk = await file.read(position, CHUNK_BYTES);
    let from = 0;
    if (position === 0) begin = from = bomBytes(chunk);
    for (let i = from; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (byte === QUOTE) isQuoted = !isQuoted;
      if (byte !== NEWLINE) isEmpty &&= isBlank(byte);
      else {
        line++;
        if (isQuoted) continue;
        const record = take(chunk.subarray(from, i));
        if (!isEmpty) yield record;
        [begin, from, beginLine, isEmpty] = [position + i + 1, i + 1, line, true];
      }
    }
    pieces.push(chunk.subarray(from));
    position += chunk.length;
    if (position - begin > MAX_ROW_BYTES) {
      throw new SightlineError('E_DATASET_LINE', `the row has more than ${MAX_ROW_BYTES} bytes`, {
        where: `${file.path}:${beginLine}`,
        hint: 'a quote may not be closed; keep images in files instead of in cells',
      });
    }
  }
  if (!isEmpty) yield take(new Uint8Array(0));
}

async function headerOf(file: RandomAccess, delimiter: ',' | '\t'): Promise<readonly string[]> {
  for await (const { place, bytes } of recordsOf(file)) {
    const at = lineOf(file.path, place);
    // pandas writes its index as a column with an empty name and reads it under this one.
    const names = cellsOf(bytes, delimiter, at).map((name, i) => name ?? `Unnamed: ${i}`);
    const fault = (message: string, hint: string): SightlineError =>
      new SightlineError('E_DATASET_FORMAT', message, { where: at, hint });
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) {
      throw fault(`the header has the column ${JSON.stringify(twice)} twice`, 'give each column a name of its own');
    }
    if (names.length === 1 && /[;\t|]/.test(names[0]!)) {
      throw fault(
        `the header ${shownNames(names)} is one cell`,
        'cells are separated by commas in .csv files and by tabs in .tsv files: write the file again with these',
      );
    }
    return names;
  }
  throw new SightlineError('E_DATASET_EMPTY', 'the dataset has no rows', { where: file.path, hint: 'check the file' });
}

function cellsOf(bytes: Uint8Array, delimiter: string, where: string): readonly (string | null)[] {
  const text = decodeUtf8(bytes, 'the row', where).replace(/\r$/, '');
  try {
    const records: (string | null)[][] = parse(text, {
      delimiter,
      record_delimiter: '\n',
      cast: (value, { quoting }) => (value === '' && !quoting ? null : value),
    });
    return records[0]!;
  } catch (cause) {
    throw new SightlineError('E_DATASET_LINE', `the row is not valid CSV: ${faultIn(cause)}`, {
      where,
      hint: 'a cell with a comma, a quote or a line break stands in quotes, and each quote in it is doubled: "5"" screen"',
      cause,
    });
  }
}

/** csv-parse counts lines within the record; messages count them within the file. */
function faultIn(cause: unknown): string {
  const { code } = cause as Partial<CsvError>;
  if (code === 'CSV_QUOTE_NOT_CLOSED') return 'a quote is not closed';
  if (code === 'INVALID_OPENING_QUOTE') return 'a quote stands in a cell that does not begin with one';
  if (code === 'CSV_INVALID_CLOSING_QUOTE') return 'text follows the quote that closes a cell';
  return messageOf(cause);
}

function ragged(count: number, columns: readonly string[], where: string): SightlineError {
  const cells = count === 1 ? '1 cell' : `${count} cells`;
  return new SightlineError(
    'E_DATASET_LINE',
    `the row has ${cells}, the header has ${columns.length}: ${shownNames(columns)}`,
    { where, hint: 'a cell with a comma or a line break stands in quotes; an empty cell still has its comma' },
  );
}

/** Columns whose values are lists or objects. Messages and tools are not listed, because they are parsed for every format. */
const JSON_COLUMNS = new Set(['images', 'image', 'objects']);

/** Parses JSON in a cell. Text that only looks like JSON stays text and is checked as such. */
function parsedCell(name: string, cell: string | null): unknown {
  if (cell === null || !JSON_COLUMNS.has(name.toLowerCase()) || !/^\s*[[{]/.test(cell)) return cell;
  try {
    return JSON.parse(cell);
  } catch {
    return cell;
  }
}
