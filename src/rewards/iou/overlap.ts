/**
 * Intersection over union of boxes, and the best pairing of two lists of boxes.
 * Knows rectangles in one coordinate system, not their source.
 */

/** x1, y1, x2, y2 with x1 < x2 and y1 < y2, in any unit. */
export type Corners = readonly [number, number, number, number];

/** Area of a box; 0 where its corners are in the wrong order or it has no width or height. */
export function areaOf([x1, y1, x2, y2]: Corners): number {
  return Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
}

/**
 * area(a ∩ b) / area(a ∪ b), from 0 to 1, as torchvision's `box_iou` has it. 0 if either box has no area.
 *
 * Equal to `iou_reward` of VLM-R1 (arXiv 2504.07615), except that VLM-R1 has 0 for boxes that overlap by one pixel or less in
 * one direction.
 */
export function iou(a: Corners, b: Corners): number {
  const [areaA, areaB] = [areaOf(a), areaOf(b)];
  if (areaA === 0 || areaB === 0) return 0;
  const shared = areaOf([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  return shared / (areaA + areaB - shared);
}

/** Sum of the overlaps in the one-to-one pairing of the boxes of two lists that makes this sum largest. */
export function bestPairing(a: readonly Corners[], b: readonly Corners[]): number {
  const [fewer, more] = a.length <= b.length ? [a, b] : [b, a];
  const overlaps = fewer.map((one) => more.map((other) => iou(one, other)));
  return assignmentOf(overlaps).reduce((sum, column, row) => sum + overlaps[row]![column]!, 0);
}

// --- internal ---

/**
 * The column of each row in the assignment of largest total gain: the Hungarian algorithm with potentials (Kuhn 1955, Munkres
 * 1957), one augmenting path a row. O(rows² · columns).
 *
 * @param gains rows of equal length, no more rows than columns
 */
function assignmentOf(gains: readonly (readonly number[])[]): number[] {
  const columns = gains[0]?.length ?? 0;
  const rowPotential = new Float64Array(gains.length);
  const columnPotential = new Float64Array(columns + 1);
  const rowOf = new Int32Array(columns + 1).fill(FREE); // the last column stands for the row that is being placed
  for (let row = 0; row < gains.length; row++) {
    const slack = new Float64Array(columns).fill(Number.POSITIVE_INFINITY);
    const previous = new Int32Array(columns).fill(columns);
    const visited = new Uint8Array(columns + 1);
    let column = columns;
    rowOf[columns] = row;
    while (rowOf[column] !== FREE) {
      visited[column] = 1;
      const placed = rowOf[column]!;
      let [nearest, step] = [FREE, Number.POSITIVE_INFINITY];
      for (let j = 0; j < columns; j++) {
        if (visited[j]) continue;
        const cost = -gains[placed]![j]! - rowPotential[placed]! - columnPotential[j]!;
        if (cost < slack[j]!) {
          slack[j] = cost;
          previous[j] = column;
        }
        if (slack[j]! < step) [nearest, step] = [j, slack[j]!];
      }
      for (let j = 0; j <= columns; j++) {
        if (visited[j]) {
          rowPotential[rowOf[j]!]! += step;
          columnPotential[j]! -= step;
        } else if (j < columns) slack[j]! -= step;
      }
      column = nearest;
    }
    for (; column !== columns; column = previous[column]!) rowOf[column] = rowOf[previous[column]!]!;
  }
  const columnOf = new Array<number>(gains.length);
  for (let j = 0; j < columns; j++) if (rowOf[j] !== FREE) columnOf[rowOf[j]!] = j;
  return columnOf;
}

const FREE = -1;
