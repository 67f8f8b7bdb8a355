/**
 * The common interface of dataset formats: rows in order, and any single row again.
 */

/** Position of a row in its file. Consists of numbers, so that millions of positions fit in memory. */
export interface Place {
  /** In a text file, the byte position; in a table, the row's index from 0. */
  readonly at: number;
  /** Length of the row in bytes in a text file; 0 in a table. */
  readonly size: number;
  /** The number that messages show, from 1: the line of a text file, the row of a table. */
  readonly number: number;
}

export interface RawRow {
  readonly place: Place;
  /** Approximate bytes of memory that the row keeps alive. */
  readonly bytes: number;
  /** The row as a JSON value, which may also contain bytes (Uint8Array). Throws errors that concern this row only. */
  value(): unknown;
}

/** A file of rows. Columns are not interpreted. */
export interface RowFile {
  readonly path: string;
  /** How messages name a row. */
  where(place: Place): string;
  /** All rows, in order. Throws errors of the file, after which no more rows can be read. */
  rows(): AsyncIterable<RawRow>;
  /** Reads one row again. Errors: those of `rows` and of the row; E_DATASET_CHANGED. */
  read(place: Place): Promise<unknown>;
  /** Closes the file and frees its cached data. The next read opens it again. */
  release(): void;
}

/** How messages name a line of a text file and a row of a table. */
export const lineOf = (path: string, { number }: Place): string => `${path}:${number}`;
export const rowOf = (path: string, { number }: Place): string => `${path} row ${number}`;
