/**
 * What every format of dataset files looks like to the dataset: rows in order, and any of them again.
 */

/** Where a row stands in its file, in numbers, so that millions of places fit in memory. */
export interface Place {
  /** Byte position in a text; position of the row in a table, from 0. */
  readonly at: number;
  /** Bytes of the row in a text; 0 in a table. */
  readonly size: number;
  /** Number that messages show, from 1: of the line in a text, of the row in a table. */
  readonly number: number;
}

export interface RawRow {
  readonly place: Place;
  /** Bytes of memory that the row holds on to, roughly. */
  readonly bytes: number;
  /** The row as a JSON value. May also hold bytes (Uint8Array). Throws a fault of this row alone. */
  value(): unknown;
}

/** A file of rows. Columns are not interpreted. */
export interface RowFile {
  readonly path: string;
  /** How messages name a row. */
  where(place: Place): string;
  /** Every row, in order. Throws faults of the file, which end the reading. */
  rows(): AsyncIterable<RawRow>;
  /** One row, read again. Errors: those of `rows` and of the row; E_DATASET_CHANGED. */
  read(place: Place): Promise<unknown>;
  /** Closes the file and frees what is kept of it; the next read opens it again. */
  release(): void;
}

/** How messages name a line of a text and a row of a table. */
export const lineOf = (path: string, { number }: Place): string => `${path}:${number}`;
export const rowOf = (path: string, { number }: Place): string => `${path} row ${number}`;
