/**
 * What the vision tower is fed for a batch of images: their joint layout, pixels, and rotary angles.
 */
import type { Grid, VisionLayout, VisionTowerParts } from '../models/architecture.ts';
import { type FloatTensor, floats, ints, type Tensor } from '../runtime/tensor.ts';
import type { HostWorkspace } from '../runtime/workspace.ts';
import { joinLayouts } from './join_layouts.ts';

export interface ImagePatches {
  /** [patches, channels * frames * patch * patch] */
  readonly pixelValues: Float32Array;
  /** Writes them to the target; for images that make them at each access. */
  readonly writePixels?: (target: Float32Array) => void;
  /** Frames, rows and columns, in patches. */
  readonly gridThw: Grid;
}

export const patchesOf = ([frames, height, width]: Grid): number => frames * height * width;

/** Layouts of batches. Those of single grids are kept, for grids that come again. */
export function createLayouts(parts: VisionTowerParts): (images: readonly ImagePatches[]) => VisionLayout {
  const layouts = new Map<string, VisionLayout>();
  const layoutOf = (grid: Grid): VisionLayout => {
    const key = grid.join('x');
    const known = layouts.get(key) ?? parts.layout(grid);
    if (layouts.size >= KEPT_LAYOUTS) layouts.clear();
    layouts.set(key, known);
    return known;
  };
  return (images) => joinLayouts(images.map(({ gridThw }) => layoutOf(gridThw)));
}

/** Feeds of the patch embedding: pixels of all images, one after another, and the order of their patches in the tower. */
export function pixelFeeds(
  parts: VisionTowerParts,
  images: readonly ImagePatches[],
  { patches, order, inverse, tables = {} }: VisionLayout,
  workspace: HostWorkspace,
): Record<string, Tensor> {
  const width = Number(parts.embedding.constants.pixels!.shape[1]);
  const [only] = images;
  const areThere = images.length === 1 && only!.writePixels === undefined;
  const pixels = areThere ? only!.pixelValues : workspace.get('vision.pixels', patches, width).data;
  let next = 0;
  for (const image of areThere ? [] : images) {
    const target = pixels.subarray(next, next + patchesOf(image.gridThw) * width);
    if (image.writePixels === undefined) target.set(image.pixelValues);
    else image.writePixels(target);
    next += target.length;
  }
  return {
    pixels: floats(pixels, [patches, width]),
    order: ints(order, [patches]),
    inverse: ints(inverse, [patches]),
    ...Object.fromEntries(
      Object.entries(tables).map(([name, data]) => [
        name,
        data instanceof Int32Array ? ints(data, [patches]) : floats(data, [patches]),
      ]),
    ),
  };
}

/** Rotary angles of each patch, in the tower's order: [patches, d / 2]. */
export const visionAngles = ({
  angles: { cos, sin, rows, half },
}: VisionLayout): Record<'cos' | 'sin', FloatTensor> => ({
  cos: floats(cos, [rows, half]),
  sin: floats(sin, [rows, half]),
});

// --- internal ---

const KEPT_LAYOUTS = 256;
