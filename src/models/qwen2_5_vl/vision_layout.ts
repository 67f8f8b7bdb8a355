/**
 * The order of an image's patches in the vision tower: which window a patch belongs to, and its rotary angles.
 * Windows of equal size are put side by side, so that attention takes them in one batch; the order is undone at the end.
 */
import { angleTable, inverseFrequencies } from '../../nn/rope.ts';
import type { Grid, VisionLayout, WindowRun } from '../architecture.ts';
import type { Qwen2_5_VLVisionConfig } from './config.ts';

/** Rotary base of the vision tower; fixed by the architecture. */
const THETA = 10_000;

/** @param grid patches of the image: frames, rows, columns */
export function visionLayout(config: Qwen2_5_VLVisionConfig, [frames, height, width]: Grid): VisionLayout {
  const merge = config.spatialMergeSize;
  const unit = merge * merge;
  const windowSide = Math.floor(config.windowSize / merge / config.patchSize); // in units
  const [unitRows, unitColumns] = [height / merge, width / merge];

  const windowsBySize = new Map<number, number[][]>();
  for (let frame = 0; frame < frames; frame++) {
    for (let top = 0; top < unitRows; top += windowSide) {
      for (let left = 0; left < unitColumns; left += windowSide) {
        const window: number[] = [];
        for (let r = top; r < Math.min(top + windowSide, unitRows); r++) {
          for (let c = left; c < Math.min(left + windowSide, unitColumns); c++) {
            window.push((frame * unitRows + r) * unitColumns + c);
          }
        }
        windowsBySize.set(window.length, [...(windowsBySize.get(window.length) ?? []), window]);
      }
    }
  }
  if (frames > 1) throw new Error(`internal: ${frames} frames in one image; video is not supported`);

  const tokens: number[] = [];
  const windowRuns: WindowRun[] = [];
  for (const [size, windows] of windowsBySize) {
    windowRuns.push({ start: tokens.length * unit, windows: windows.length, size: size * unit });
    tokens.push(...windows.flat());
  }
  const patches = frames * height * width;
  const order = Int32Array.from({ length: patches }, (_, i) => tokens[Math.floor(i / unit)]! * unit + (i % unit));
  const inverse = new Int32Array(patches);
  order.forEach((patch, i) => {
    inverse[patch] = i;
  });

  // A patch's row and column: the processor lists patches unit by unit, row-major inside a unit.
  const place = (row: number): [number, number] => {
    const patch = order[row]!;
    const [u, inside] = [Math.floor(patch / unit), patch % unit];
    return [
      Math.floor(u / unitColumns) * merge + Math.floor(inside / merge),
      (u % unitColumns) * merge + (inside % merge),
    ];
  };
  const headDim = config.hiddenSize / config.numHeads;
  const quarter = headDim / 4; // half of the pairs turn by the row, the other half by the column
  const frequencies = inverseFrequencies(THETA, headDim / 2, quarter);
  const both = Float32Array.from([...frequencies, ...frequencies]);
  return {
    patches,
    order,
    inverse,
    tokens: Int32Array.from(tokens),
    runs: { windows: windowRuns, frames: [{ start: 0, windows: frames, size: height * width }] },
    angles: angleTable(patches, both, (row, i) => place(row)[i < quarter ? 0 : 1]),
  };
}
