/**
 * Numbers as the page shows them in columns.
 */
import { alignedNumbers } from '../report/text.ts';

/** The points stand below one another. Filled up with the spaces that are as wide as a digit and as a point. */
export const numberCells = (values: readonly (number | null)[]): string[] =>
  alignedNumbers(values, { digit: '\u2007', point: '\u2008', none: '–', minus: '\u2212' });
