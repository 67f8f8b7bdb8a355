/**
 * Datasets: files of rows, checked once from end to end, then read row by row from disk.
 * Knows rows and faults, not formats and not training. Holds the rows' positions in memory, never the rows.
 */
import { dirname, resolve } from 'node:path';
import { messageOf, SightlineError } from '../errors.ts';
import { type ColumnCounts, columnsWithValue } from './column_counts.ts';
import { filesOf } from './files/folder.ts';
import { openRowFile } from './files/open.ts';
import type { Place, RawRow, RowFile } from './files/row_file.ts';
import { createImageCheck } from './image_check.ts';
import type { ImageSource } from './image_source.ts';
import { createRenaming, type Renaming } from './rename_columns.ts';
import { parseRow, type Row, type RowNote } from './row.ts';
import { parseSpec } from './specs.ts';

export interface DatasetOptions {
  /** Stop at the first faulty row (default), or drop and count faulty rows (`--strict false`). */
  readonly strict?: boolean;
  /** Check the header of every image; default true. Reads no pixels. */
  readonly checkImages?: boolean;
  /** New names of columns, by the names that the files have (`--columns`). */
  readonly columns?: Readonly<Record<string, string>>;
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
  row(index: number): Promise<Row>;
  close(): void;
}

/**
 * Opens files and folders (`path`, or `path#n` for the first n rows) as one dataset and checks every row.
 * Errors: E_DATASET_MISSING, E_DATASET_UNREADABLE, E_DATASET_FORMAT, E_DATASET_LINE, E_DATASET_EMPTY, E_DATASET_COLUMN,
 * those of `filesOf`, `parseRow` and `checkImageSource`.
 */
export async function openDataset(specs: readonly string[], options: DatasetOptions = {}): Promise<Dataset> {
  const files: { file: RowFile; base: string }[] = [];
  const places = { file: [] as number[], at: [] as number[], size: [] as number[], number: [] as number[] };
  const renaming = createRenaming(options.columns ?? {});
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
    const { path, limit } = parseSpec(spec);
    let left = limit;
    for (const each of filesOf(path)) {
      if (left === 0) break;
      const file = await openRowFile(each);
      const base = dirname(resolve(each));
      files.push({ file, base });
      for await (const { place, row } of scan(file, base, left, { ...options, renaming, checkImage, onDrop })) {
        left--;
        for (const name of columnsWithValue(row)) columns.set(name, (columns.get(name) ?? 0) + 1);
        for (const note of row.notes) {
          const { count, where } = notes.get(note) ?? { count: 0, where: row.where };
          notes.set(note, { note, count: count + 1, where });
        }
        places.file.push(files.length - 1);
        places.at.push(place.at);
        places.size.push(place.size);
        places.number.push(place.number);
      }
    }
  }
  const length = places.file.length;
  if (length === 0) throw empty(specs, dropped, droppedCount);
  renaming.checkAllFound(specs);
  const hold = createHolder();

  return {
    length,
    droppedCount,
    dropped,
    columns,
    notes: [...notes.values()],
    row: async (index) => {
      if (!Number.isInteger(index) || index < 0 || index >= length) {
        throw new Error(`internal: row ${index} of a dataset with ${length} rows`);
      }
      const { file, base } = files[places.file[index]!]!;
      const place = { at: places.at[index]!, size: places.size[index]!, number: places.number[index]! };
      const where = file.where(place);
      hold(file);
      try {
        return parseRow(renaming.rename(await file.read(place), where), { index, where, base });
      } catch (cause) {
        throw new SightlineError('E_DATASET_CHANGED', `the row was valid when the run began: ${messageOf(cause)}`, {
          where,
          hint: 'the file has changed since; start again',
          cause,
        });
      }
    },
    close: () => {
      for (const { file } of files) file.release();
    },
  };
}

// --- internal ---

/** Dropped rows whose reasons are kept; further ones are only counted. */
const KEPT_REASONS = 100;

interface GoodRow {
  readonly place: Place;
  readonly row: Row;
}

/** Yields the places of the first valid rows of a file. Memory is bounded by what the format reads at once. */
async function* scan(
  file: RowFile,
  base: string,
  limit: number,
  {
    strict = true,
    checkImages = true,
    renaming,
    checkImage,
    onDrop,
  }: DatasetOptions & {
    readonly renaming: Renaming;
    readonly checkImage: (image: ImageSource) => Promise<void>;
    readonly onDrop: (row: DroppedRow) => void;
  },
): AsyncGenerator<GoodRow> {
  const check = async ({ place, value }: RawRow): Promise<{ place: Place; row: Row | null; fault: unknown }> => {
    try {
      const where = file.where(place);
      const row = parseRow(renaming.rename(value(), where), { index: 0, where, base });
      if (checkImages) for (const image of row.images) await checkImage(image);
      return { place, row, fault: null };
    } catch (fault) {
      return { place, row: null, fault };
    }
  };
  let found = 0;
  try {
    for await (const { place, row, fault } of ahead(file.rows(), check)) {
      if (row !== null) {
        yield { place, row };
        if (++found >= limit) return;
      } else if (strict || !(fault instanceof SightlineError)) throw fault;
      else onDrop({ where: file.where(place), code: fault.code, message: fault.message });
    }
  } finally {
    file.release();
  }
}

/** Limits on the rows checked concurrently. Concurrency hides the latency of image files; the limits bound memory. */
const CHECKED_AT_ONCE = 32;
const BYTES_AT_ONCE = 4 * 2 ** 20;

/** Yields the results of `check` in order, while it already runs on some of the following rows. It must not throw. */
async function* ahead<T>(rows: AsyncIterable<RawRow>, check: (row: RawRow) => Promise<T>): AsyncGenerator<T> {
  const begun: { readonly size: number; readonly checked: Promise<T> }[] = [];
  let bytes = 0;
  for await (const row of rows) {
    begun.push({ size: row.bytes, checked: check(row) });
    bytes += row.bytes;
    while (begun.length >= CHECKED_AT_ONCE || bytes > BYTES_AT_ONCE) {
      const first = begun.shift()!;
      bytes -= first.size;
      yield await first.checked;
    }
  }
  for (const { checked } of begun) yield await checked;
}

/** Files that are held open at once: a dataset may have more shards than a process may open. */
const HELD_FILES = 64;

/** Notes that a file is about to be read, and releases the one read longest ago where there are too many. */
function createHolder(): (file: RowFile) => void {
  const held = new Set<RowFile>();
  return (file) => {
    held.delete(file);
    held.add(file);
    if (held.size <= HELD_FILES) return;
    const [oldest] = held;
    oldest!.release();
    held.delete(oldest!);
  };
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
