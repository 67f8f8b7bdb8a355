/**
 * The windows of Qwen2.5-VL's vision tower: squares of patches that attend to themselves only. Windows at the edges are
 * smaller. Windows of equal size follow one another, so that attention takes them in one batch.
 */
import type { Grid, VisionLayout, WindowRun } from '../architecture.ts';
import { layoutOf, unitsOf } from '../qwen_vl/vision_layout.ts';
import type { Qwen2_5_VLVisionConfig } from './config.ts';

/** @param grid patches of the image: frames, rows, columns */
export function windowLayout(config: Qwen2_5_VLVisionConfig, grid: Grid): VisionLayout {
  const { rows, columns } = unitsOf(grid, config);
  const unit = config.spatialMergeSize ** 2;
  const side = Math.floor(config.windowSize / config.spatialMergeSize / config.patchSize); // in units

  const windowsBySize = new Map<number, number[][]>();
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < columns; left += side) {
      const window: number[] = [];
      for (let r = top; r < Math.min(top + side, rows); r++)
        for (let c = left; c < Math.min(left + side, columns); c++) window.push(r * columns + c);
      windowsBySize.set(window.length, [...(windowsBySize.get(window.length) ?? []), window]);
    }
  }
  const tokens: number[] = [];
  const windows: WindowRun[] = [];
  for (const [size, ofSize] of windowsBySize) {
    windows.push({ start: tokens.length * unit, windows: ofSize.length, size: size * unit });
    tokens.push(...ofSize.flat());
  }
  return layoutOf(config, grid, Int32Array.from(tokens), { windows });
}
