/**
 * Reads tables that are stored in groups of rows (Parquet, Arrow). A group is decoded as a whole and cached.
 * Knows positions of rows, not the formats.
 */
import { messageOf, SightlineError } from '../../errors.ts';
import { createGroupCache } from './group_cache.ts';
import type { RandomAccess } from './random_access.ts';
import { type Place, type RawRow, type RowFile, rowOf } from './row_file.ts';

export interface Group {
  readonly rows: number;
  /** Size of the decoded group, in bytes. */
  readonly bytes: number;
}

/** A table whose structure has been read and whose values have not. */
export interface Table {
  readonly format: 'Parquet' | 'Arrow';
  readonly columns: readonly string[];
  readonly groups: readonly Group[];
  /** The rows of a group. Any error that this throws means that the file is damaged. */
  decode(group: number): Promise<(row: number) => unknown>;
}

/** Errors: E_DATASET_FORMAT if the table cannot be read as rows. */
export function tableFile(file: RandomAccess, { format, columns, groups, decode }: Table): RowFile {
  const { path } = file;
  refuseColumns(columns, path);
  const starts: number[] = [];
  let total = 0;
  for (const { rows } of groups) {
    starts.push(total);
    total += rows;
  }
  const cache = createGroupCache(
    (group) =>
      decode(group).catch((cause: unknown) => {
        throw damaged(format, path, messageOf(cause), groupName(group), cause);
      }),
    (group) => groups[group]!.bytes,
  );
  const where = (place: Place): string => rowOf(path, place);
  const groupName = (group: number): string => {
    const first = starts[group]! + 1;
    return `${path} rows ${first} to ${first + groups[group]!.rows - 1}`;
  };
  const rowAt = (at: number, group: number, values: (row: number) => unknown): RawRow => {
    const place = { at, size: 0, number: at + 1 };
    const { rows, bytes } = groups[group]!;
    return { place, bytes: bytes / rows, value: () => readable(() => values(at - starts[group]!), where(place)) };
  };
  return {
    path,
    where,
    async *rows() {
      for (const [group, { rows }] of groups.entries()) {
        if (rows === 0) continue;
        const values = await cache.get(group);
        for (let i = 0; i < rows; i++) yield rowAt(starts[group]! + i, group, values);
      }
    },
    read: async ({ at }) => {
      const group = lastAtMost(starts, at);
      return rowAt(at, group, await cache.get(group)).value();
    },
    release: () => {
      cache.clear();
      file.release();
    },
  };
}

/** The error for a file that the library of its format cannot read. */
export function damaged(format: string, path: string, why: string, where = path, cause?: unknown): SightlineError {
  if (cause instanceof SightlineError) return cause;
  return new SightlineError('E_DATASET_FORMAT', `the ${format} file cannot be read: ${why}`, {
    where,
    hint: 'the file may be cut off or damaged: write it again, or fetch it again',
    cause,
  });
}

// --- internal ---

/** The last group that starts at or before a row. An empty group starts at the same row as the next one. */
function lastAtMost(starts: readonly number[], at: number): number {
  let [low, high] = [0, starts.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle]! <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The libraries assign keys as properties, and this key would set the prototype. */
function refuseColumns(columns: readonly string[], path: string): void {
  const twice = columns.find((name, i) => columns.indexOf(name) !== i);
  const name = twice ?? columns.find((each) => each === '__proto__');
  if (name === undefined) return;
  const why = twice === undefined ? 'which no row can have' : 'twice';
  throw new SightlineError('E_DATASET_FORMAT', `the table has the column ${JSON.stringify(name)} ${why}`, {
    where: path,
    hint: 'rename the column and write the file again',
  });
}

function readable(read: () => unknown, where: string): unknown {
  try {
    return read();
  } catch (cause) {
    throw new SightlineError('E_DATASET_ROW', `a cell of the row cannot be read: ${messageOf(cause)}`, {
      where,
      hint: 'correct the row and write the file again, or leave it out (--strict false)',
      cause,
    });
  }
}
