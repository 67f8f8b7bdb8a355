/**
 * Text for a terminal: numbers, cleaning and cutting. Knows no event.
 */

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
