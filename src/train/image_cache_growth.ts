/**
 * Estimates the memory of the images that a run caches, as resized pixels and as visual tokens. The caches grow while rows are
 * new, up to their budgets. A dry run has to add the growth that its few steps do not show.
 */

import type { ImageFeatures } from '../engine/image_features.ts';
import type { VisionConfig } from '../models/architecture.ts';

/** Number of patches of the distinct images in some rows. */
export interface RowImages {
  readonly rows: number;
  readonly patches: number;
}

export interface KeptImages {
  /** Distinct rows that the whole run will see. */
  readonly rows: number;
  /** Budget in bytes for resized pixels. The dry run itself caches none. */
  readonly pixelBudget: number;
  /** Forms of each image whose visual tokens are kept: itself, and the image under a change that is the same every time. */
  readonly forms: number;
  /** Caches of visual tokens: the policy's, and the reference model's if there is one. */
  readonly features: readonly Pick<ImageFeatures, 'bytes' | 'budget'>[];
}

/** Bytes by which the caches will still grow, if all rows have images like those of the rows counted in `images`. */
export function growthOfImages(
  images: RowImages,
  { rows, pixelBudget, forms, features }: KeptImages,
  { patchSize, spatialMergeSize, outHiddenSize }: VisionConfig,
): number {
  const patches = (images.patches / images.rows) * rows;
  const pixels = Math.min(3 * patchSize ** 2 * patches, pixelBudget);
  const tokens = (forms * Float32Array.BYTES_PER_ELEMENT * outHiddenSize * patches) / spatialMergeSize ** 2;
  return features.reduce((sum, { budget, bytes }) => sum + Math.max(0, Math.min(tokens, budget) - bytes), pixels);
}
