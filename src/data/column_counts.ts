/**
 * Counts which columns the rows of a dataset have. Knows names and counts, not which rewards read them.
 */
import type { Row } from './row.ts';

/** For each column, the number of rows that have a value in it. Null is not a value. */
export type ColumnCounts = ReadonlyMap<string, number>;

/** Names of the columns in which this row has a value. The conversation is `messages` and images are `images`, whatever the row calls them. */
export function columnsWithValue({ images, columns }: Pick<Row, 'images' | 'columns'>): string[] {
  const others = Object.keys(columns).filter((name) => columns[name] !== null && columns[name] !== undefined);
  return ['messages', ...(images.length === 0 ? [] : ['images']), ...others];
}
