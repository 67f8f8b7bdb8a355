/**
 * The order of an image's patches in the vision tower: which window a patch belongs to, and its rotary angles.
 * Windows of equal size are put side by side, so that attention takes them in one batch; the order is undone at the end.
 */
import { angleTable, inverseFrequencies } from '../../nn/rope.ts';
import { type FloatTensor, floats } from '../../runtime/tensor.ts';
import type { VisionConfig } from './config.ts';

/** Patches [start, start + windows * size): `windows` windows of `size` patches. */
export interface WindowRun {
  readonly start: number;
  readonly windows: number;
  readonly size: number;
}

export interface VisionLayout {
  /** Patches of the image. */
  readonly patches: number;
  /** order[i]: the patch (in the processor's order) that stands at row i of the tower; inverse undoes it. */
  readonly order: Int32Array;
  readonly inverse: Int32Array;
  /** tokens[u]: the visual token that unit u (4 patches) of the tower becomes. */
  readonly tokens: Int32Array;
  readonly windowRuns: readonly WindowRun[];
  /** One run per frame: what a full-attention block attends over. */
  readonly frameRuns: readonly WindowRun[];
  readonly angles: { readonly cos: FloatTensor; readonly sin: FloatTensor };
}

/** Several images one after another, as one: runs of equal windows that meet become one run. */
export function joinLayouts(layouts: readonly VisionLayout[]): VisionLayout {
  if (layouts.length === 1) return layouts[0]!;
  const starts = offsets(layouts.map(({ patches }) => patches));
  const tokenStarts = offsets(layouts.map(({ tokens }) => tokens.length));
  const shifted = (pick: (layout: VisionLayout) => Int32Array, by: readonly number[]): Int32Array =>
    Int32Array.from(layouts.flatMap((layout, i) => Array.from(pick(layout), (place) => place + by[i]!)));
  const runs = (pick: (layout: VisionLayout) => readonly WindowRun[]): WindowRun[] =>
    mergeRuns(layouts.flatMap((layout, i) => pick(layout).map((run) => ({ ...run, start: run.start + starts[i]! }))));
  const patches = layouts.reduce((sum, layout) => sum + layout.patches, 0);
  const table = (pick: (layout: VisionLayout) => FloatTensor): FloatTensor => {
    const half = pick(layouts[0]!).dims[1]!;
    const joined = new Float32Array(patches * half);
    for (const [i, layout] of layouts.entries()) joined.set(pick(layout).data, starts[i]! * half);
    return floats(joined, [patches, half]);
  };
  return {
    patches,
    order: shifted(({ order }) => order, starts),
    inverse: shifted(({ inverse }) => inverse, starts),
    tokens: shifted(({ tokens }) => tokens, tokenStarts),
    windowRuns: runs(({ windowRuns }) => windowRuns),
    frameRuns: runs(({ frameRuns }) => frameRuns),
    angles: { cos: table(({ angles }) => angles.cos), sin: table(({ angles }) => angles.sin) },
  };
}

/** Rotary base of the vision tower; fixed by the architecture. */
const THETA = 10_000;

/** @param grid patches of the image: frames, rows, columns */
export function visionLayout(
  config: VisionConfig,
  [frames, height, width]: readonly [number, number, number],
): VisionLayout {
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
  const { cos, sin, half } = angleTable(patches, both, (row, i) => place(row)[i < quarter ? 0 : 1]);
  return {
    patches,
    order,
    inverse,
    tokens: Int32Array.from(tokens),
    windowRuns,
    frameRuns: [{ start: 0, windows: frames, size: height * width }],
    angles: { cos: floats(cos, [patches, half]), sin: floats(sin, [patches, half]) },
  };
}

// --- internal ---

/** Where each part starts when parts of these lengths follow one another. */
function offsets(lengths: readonly number[]): number[] {
  let next = 0;
  return lengths.map((length) => {
    const start = next;
    next += length;
    return start;
  });
}

function mergeRuns(runs: readonly WindowRun[]): WindowRun[] {
  const merged: WindowRun[] = [];
  for (const run of runs) {
    const last = merged.at(-1);
    if (last !== undefined && last.size === run.size && last.start + last.windows * last.size === run.start) {
      merged[merged.length - 1] = { ...last, windows: last.windows + run.windows };
    } else merged.push(run);
  }
  return merged;
}
