/**
 * JSONL datasets: checked once from end to end, then read row by row from disk.
 * Knows files and faults, not training. Holds the rows' positions in memory, never the rows.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { messageOf, SightlineError } from '../errors.ts';
import { type ColumnCounts, columnsWithValue } from './column_counts.ts';
import { createImageCheck } from './image_check.ts';
import type { ImageSource } from './image_source.ts';
import { type Line, openDataFile, readLines } from './lines.ts';
import { parseRow, type Row, type RowNote } from './row.ts';

export interface DatasetOptions {
  /** Stop at the first faulty row (default), or drop and count faulty rows (`--strict false`). */
  readonly strict?: boolean;
  /** Check the header of every image; default true. Reads no pixels. */
  readonly checkImages?: boolean;
}

export interface DroppedRow {
  readonly where: string;
  readonly code: string;
  readonly message: string;
}

export interface CountedNote {
  readonly note: RowNote;
  readonly count: number;
  readonly where: string;
}

export interface Dataset {
  readonly length: number;
  /** Rows left out under `strict: false`: how many, and the first 100 with reasons. */
  readonly droppedCount: number;
  readonly dropped: readonly DroppedRow[];
  readonly columns: ColumnCounts;
  /** For each kind of note: how many rows have it, and the first of these rows. */
  readonly notes: readonly CountedNote[];
  /** Reads and parses one row, not its images. Error: E_DATASET_CHANGED if the file has changed since it was checked. */
  row(index: number): Row;
  close(): void;
}

/**
 * Opens files (`path`, or `path#n` for the first n rows) as one dataset and checks every row.
 * Errors: E_DATASET_MISSING, E_DATASET_UNREADABLE, E_DATASET_FORMAT, E_DATASET_LINE, E_DATASET_EMPTY, those of `parseRow`
 * and of `checkImageSource`.
 */
export async function openDataset(specs: readonly string[], options: DatasetOptions = {}): Promise<Dataset> {
  const files: { path: string; base: string; fd: number | null }[] = [];
  const places = { file: [] as number[], begin: [] as number[], size: [] as number[], line: [] as number[] };
  const checkImage = createImageCheck();
  const dropped: DroppedRow[] = [];
  const notes = new Map<RowNote, CountedNote>();
  let droppedCount = 0;
  const onDrop = (row: DroppedRow): void => {
    droppedCount++;
    if (dropped.length < KEPT_REASONS) dropped.push(row);
  };
  const columns = new Map<string, number>();
  for (const spec of specs) {
    const { path } = parseSpec(spec);
    files.push({ path, base: dirname(resolve(path)), fd: null });
    for await (const { line, row } of scan(spec, { ...options, checkImage, onDrop })) {
      for (const name of columnsWithValue(row)) columns.set(name, (columns.get(name) ?? 0) + 1);
      for (const note of row.notes) {
        const { count, where } = notes.get(note) ?? { count: 0, where: row.where };
        notes.set(note, { note, count: count + 1, where });
      }
      places.file.push(files.length - 1);
      places.begin.push(line.begin);
      places.size.push(line.bytes.length);
      places.line.push(line.number);
    }
  }
  const length = places.file.length;
  if (length === 0) throw empty(specs, dropped, droppedCount);

  return {
    length,
    droppedCount,
    dropped,
    columns,
    notes: [...notes.values()],
    row: (index) => {
      if (!Number.isInteger(index) || index < 0 || index >= length) {
        throw new Error(`internal: row ${index} of a dataset with ${length} rows`);
      }
      const file = files[places.file[index]!]!;
      file.fd ??= openSync(file.path, 'r');
      const bytes = Buffer.alloc(places.size[index]!);
      const read = readSync(file.fd, bytes, 0, bytes.length, places.begin[index]!);
      const where = `${file.path}:${places.line[index]}`;
      try {
        return parseRow(parseJson(bytes.subarray(0, read), where), { index, where, base: file.base });
      } catch (cause) {
        throw new SightlineError('E_DATASET_CHANGED', `the row was valid when the run began: ${messageOf(cause)}`, {
          where,
          hint: 'the file has changed since; start again',
          cause,
        });
      }
    },
    close: () => {
      for (const file of files) {
        if (file.fd !== null) closeSync(file.fd);
        file.fd = null;
      }
    },
  };
}

// --- internal ---

/** Dropped rows whose reasons are kept; further ones are only counted. */
const KEPT_REASONS = 100;
const OTHER_FORMATS = /\.(parquet|csv|tsv|arrow|xlsx?|zip|gz|zst|tar)$/i;

interface GoodLine {
  readonly line: Line;
  readonly row: Row;
}

/** Yields the lines of a file that hold valid rows. Memory is bounded by the longest line. */
async function* scan(
  spec: string,
  {
    strict = true,
    checkImages = true,
    checkImage,
    onDrop,
  }: DatasetOptions & {
    readonly checkImage: (image: ImageSource) => Promise<void>;
    readonly onDrop: (row: DroppedRow) => void;
  },
): AsyncGenerator<GoodLine> {
  const { path, limit } = parseSpec(spec);
  if (OTHER_FORMATS.test(path)) {
    throw new SightlineError('E_DATASET_FORMAT', `dataset is not JSONL: ${path}`, {
      hint: 'write it as JSONL, one JSON object per line',
    });
  }
  const base = dirname(resolve(path));
  const handle = await openDataFile(path);
  const check = async (line: Line): Promise<{ line: Line; row: Row | null; fault: unknown }> => {
    try {
      const where = `${path}:${line.number}`;
      const row = parseRow(parseJson(line.bytes, where), { index: 0, where, base });
      if (checkImages) for (const image of row.images) await checkImage(image);
      return { line, row, fault: null };
    } catch (fault) {
      return { line, row: null, fault };
    }
  };
  let index = 0;
  try {
    for await (const { line, row, fault } of ahead(readLines(handle, path), check)) {
      if (index >= limit) return;
      if (line.number === 1) refuseArray(line, path);
      if (row !== null) {
        index++;
        yield { line, row };
      } else if (strict || !(fault instanceof SightlineError)) throw fault;
      else onDrop({ where: `${path}:${line.number}`, code: fault.code, message: fault.message });
    }
  } finally {
    await handle.close();
  }
}

/** Limits on the lines checked concurrently. Concurrency hides the latency of image files; the limits bound memory. */
const CHECKED_AT_ONCE = 32;
const BYTES_AT_ONCE = 4 * 2 ** 20;

/** Yields the results of `check` in order, while it already runs on some of the following lines. It must not throw. */
async function* ahead<T>(lines: AsyncIterable<Line>, check: (line: Line) => Promise<T>): AsyncGenerator<T> {
  const begun: { readonly size: number; readonly checked: Promise<T> }[] = [];
  let bytes = 0;
  for await (const line of lines) {
    begun.push({ size: line.bytes.length, checked: check(line) });
    bytes += line.bytes.length;
    while (begun.length >= CHECKED_AT_ONCE || bytes > BYTES_AT_ONCE) {
      const first = begun.shift()!;
      bytes -= first.size;
      yield await first.checked;
    }
  }
  for (const { checked } of begun) yield await checked;
}

/** Splits `path#n`, which asks for the first n rows. */
function parseSpec(spec: string): { path: string; limit: number } {
  const match = /^(.+)#(\d+)$/s.exec(spec);
  if (match === null) return { path: spec, limit: Number.POSITIVE_INFINITY };
  const limit = Number(match[2]);
  if (limit === 0) throw new SightlineError('E_DATASET_EMPTY', `${spec} asks for 0 rows`, { hint: 'give #1 or more' });
  return { path: match[1]!, limit };
}

function parseJson(bytes: Uint8Array, where: string): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SightlineError('E_DATASET_LINE', 'the line is not valid UTF-8', {
      where,
      hint: 'save the file as UTF-8',
      cause,
    });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const bare = /[:[,]\s*-?(NaN|Infinity)\b/.test(text);
    throw new SightlineError('E_DATASET_LINE', `the line is not valid JSON: ${messageOf(cause)}`, {
      where,
      hint: bare ? 'JSON has no NaN and no Infinity; write null' : 'one JSON object per line; the line may be cut off',
      cause,
    });
  }
}

function refuseArray(line: Line, path: string): void {
  const first = Buffer.from(line.bytes.subarray(0, 64)).toString('latin1').trimStart();
  if (!first.startsWith('[')) return;
  throw new SightlineError('E_DATASET_FORMAT', 'dataset is a JSON array, expected JSONL: one JSON object per line', {
    where: `${path}:${line.number}`,
    hint: "convert it: jq -c '.[]' data.json > data.jsonl",
  });
}

function empty(specs: readonly string[], dropped: readonly DroppedRow[], count: number): SightlineError {
  const first = dropped[0];
  return new SightlineError(
    'E_DATASET_EMPTY',
    first === undefined
      ? 'the dataset has no rows'
      : `all ${count} rows were dropped, the first one because: ${first.message}`,
    { where: first?.where ?? specs.join(', '), hint: 'check the file' },
  );
}
