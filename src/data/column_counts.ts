/**
 * Which columns the rows of a dataset have. Knows names and counts; not who reads them.
 */
import type { Row } from './row.ts';

/** Of each column in which any row has a value: in how many rows. A null is no value. */
export type ColumnCounts = ReadonlyMap<string, number>;

/** Names of the columns in which this row has a value; conversation and images under their usual names. */
export function columnsWithValue({ images, columns }: Pick<Row, 'images' | 'columns'>): string[] {
  const others = Object.keys(columns).filter((name) => columns[name] !== null && columns[name] !== undefined);
  return ['messages', ...(images.length === 0 ? [] : ['images']), ...others];
}
