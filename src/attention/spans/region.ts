/**
 * How much of each visual token boxes cover. Knows rectangles and grids, not where boxes come from.
 */

/** x1, y1, x2, y2 */
export type Corners = readonly [number, number, number, number];

/**
 * Share of each visual token's patch that lies in at least one box. The resized image is the stored one scaled in each direction, so
 * that a token covers the same fractions of both.
 *
 * @param boxes with x1 < x2 and y1 < y2, as fractions of the image's width and height; parts outside of it do not count
 * @param rows, columns visual tokens from top to bottom, and from left to right
 * @returns [rows * columns], from 0 to 1
 */
export function regionCoverage(boxes: readonly Corners[], rows: number, columns: number): Float32Array {
  const coverage = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      // In units of tokens, relative to this one.
      const inside = boxes
        .map(([x1, y1, x2, y2]): Corners => {
          const clip = (value: number): number => Math.min(1, Math.max(0, value));
          return [
            clip(x1 * columns - column),
            clip(y1 * rows - row),
            clip(x2 * columns - column),
            clip(y2 * rows - row),
          ];
        })
        .filter(([x1, y1, x2, y2]) => x1 < x2 && y1 < y2);
      if (inside.length > 0) coverage[row * columns + column] = unionArea(inside);
    }
  }
  return coverage;
}

// --- internal ---

/** Area of the union of rectangles: between neighbouring edges, a cell is covered wholly or not at all. */
function unionArea(boxes: readonly Corners[]): number {
  const edges = (from: 0 | 1): number[] =>
    [...new Set(boxes.flatMap((box) => [box[from], box[from + 2]!]))].sort((a, b) => a - b);
  const [xs, ys] = [edges(0), edges(1)];
  let area = 0;
  for (let i = 0; i + 1 < xs.length; i++) {
    for (let j = 0; j + 1 < ys.length; j++) {
      const isCovered = boxes.some(
        ([x1, y1, x2, y2]) => x1 <= xs[i]! && xs[i + 1]! <= x2 && y1 <= ys[j]! && ys[j + 1]! <= y2,
      );
      if (isCovered) area += (xs[i + 1]! - xs[i]!) * (ys[j + 1]! - ys[j]!);
    }
  }
  return area;
}
