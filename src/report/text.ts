/**
 * Text for a terminal: numbers, cleaning and cutting. Knows no event.
 */
import { cleanText } from '../util/clean_text.ts';

/** At most four significant digits, without needless zeros. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  const short = Number(value.toPrecision(4));
  return size < 1e-3 || size >= 1e6 ? short.toExponential() : String(short);
}

/** 1234567 as 1.23 M. */
export function formatCount(value: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return String(value);
}

/** Cuts the text to `length` characters, the last of which is … if anything was removed. */
export function cutText(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, Math.max(0, length - 1)).join('')}…`;
}

/**
 * Cuts the text to so many columns of a terminal. Characters that may be wide count as two: a line may end early, but does not wrap.
 */
export function cutColumns(text: string, columns: number): string {
  const widthOf = (character: string): number => (MAYBE_WIDE.test(character) ? 2 : 1);
  const characters = [...text];
  let width = characters.reduce((sum, character) => sum + widthOf(character), 0);
  if (width <= columns) return text;
  while (width > columns - 1 && characters.length > 0) width -= widthOf(characters.pop()!);
  return `${characters.join('')}…`;
}

/** Text on one line, made safe for a terminal, of at most `length` characters. */
export function oneLine(text: string, length: number): string {
  return cutText(cleanText(text).replaceAll('\n', ' ⏎ '), length);
}

/**
 * Numbers for a column in which the points stand below one another: what a number has less than the longest fraction is filled up.
 *
 * @param fill what stands for a missing digit, a missing point, null, and minus
 */
export function alignedNumbers(
  values: readonly (number | null)[],
  fill = { digit: ' ', point: ' ', none: '-', minus: '-' },
): string[] {
  const texts = values.map((value) => (value === null ? fill.none : formatNumber(value).replaceAll('-', fill.minus)));
  const afterPoint = (text: string): number => (text.includes('.') ? text.length - text.indexOf('.') - 1 : 0);
  const most = Math.max(0, ...texts.map(afterPoint));
  return texts.map((text) => {
    const point = text.includes('.') || most === 0 ? '' : fill.point;
    return text + point + fill.digit.repeat(most - afterPoint(text));
  });
}

/** Formats rows of cells with aligned columns: the first one to the left, the others to the right. */
export function alignColumns(rows: readonly (readonly string[])[], indent = '  '): string[] {
  const widths = rows.reduce<number[]>((all, row) => {
    row.forEach((cell, column) => {
      all[column] = Math.max(all[column] ?? 0, cell.length);
    });
    return all;
  }, []);
  return rows.map((row) => {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)));
    return indent + cells.join('  ').trimEnd();
  });
}

// --- internal ---

/** The blocks of Unicode that hold characters of East Asia and emoji. Some of the characters in between are narrow. */
const MAYBE_WIDE = /^[\u1100-\u115f\u2300-\u24ff\u2600-\ufffc\u{10000}-\u{10ffff}]/u;
