/**
 * The order of an image's patches in a vision tower, and their rotary angles. The image processor lists patches unit by unit
 * (a unit is the merge² patches of one visual token), and row by row inside a unit.
 */
import { angleTable, inverseFrequencies } from '../../nn/rope.ts';
import type { Grid, VisionConfig, VisionLayout, WindowRun } from '../architecture.ts';

/** Rotary base of the vision towers, a constant of the architectures. */
export const VISION_ROPE_THETA = 10_000;

type TowerSizes = Pick<VisionConfig, 'hiddenSize' | 'numHeads' | 'spatialMergeSize'>;

/** The number of rows and columns of units in an image. */
export function unitsOf(grid: Grid, { spatialMergeSize }: Pick<VisionConfig, 'spatialMergeSize'>) {
  const [frames, height, width] = grid;
  if (frames > 1) throw new Error(`internal: ${frames} frames in one image; video is not supported`);
  return { rows: height / spatialMergeSize, columns: width / spatialMergeSize };
}

/** The layout with units in reading order, in which every block attends to the whole image. */
export function readingOrder(config: TowerSizes, grid: Grid): VisionLayout {
  const { rows, columns } = unitsOf(grid, config);
  return layoutOf(
    config,
    grid,
    Int32Array.from({ length: rows * columns }, (_, unit) => unit),
    {},
  );
}

/**
 * The layout for a given order of units.
 *
 * @param tokens for each unit in the tower's order, its number in reading order: [units]
 * @param runs windows that blocks attend over; `frames`, the whole image, is added
 */
export function layoutOf(
  config: TowerSizes,
  grid: Grid,
  tokens: Int32Array,
  runs: Readonly<Record<string, readonly WindowRun[]>>,
): VisionLayout {
  const merge = config.spatialMergeSize;
  const unit = merge * merge;
  const { columns } = unitsOf(grid, config);
  const patches = tokens.length * unit;
  const order = Int32Array.from({ length: patches }, (_, i) => tokens[Math.floor(i / unit)]! * unit + (i % unit));
  const inverse = new Int32Array(patches);
  order.forEach((patch, i) => {
    inverse[patch] = i;
  });
  const headDim = config.hiddenSize / config.numHeads;
  const quarter = headDim / 4; // half of the pairs turn by the row, the other half by the column
  const frequencies = inverseFrequencies(VISION_ROPE_THETA, headDim / 2, quarter);
  const both = Float32Array.from([...frequencies, ...frequencies]);
  return {
    patches,
    order,
    inverse,
    tokens,
    runs: { ...runs, frames: [{ start: 0, windows: 1, size: patches }] },
    angles: angleTable(patches, both, (row, i) => patchPosition(order[row]!, columns, merge)[i < quarter ? 0 : 1]),
  };
}

/** Row and column of a patch in the image, from its number in the processor's order. */
export function patchPosition(patch: number, unitColumns: number, merge: number): [row: number, column: number] {
  const unit = merge * merge;
  const [u, inside] = [Math.floor(patch / unit), patch % unit];
  return [
    Math.floor(u / unitColumns) * merge + Math.floor(inside / merge),
    (u % unitColumns) * merge + (inside % merge),
  ];
}
