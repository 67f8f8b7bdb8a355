/**
 * Memory of images that a run keeps: as pixels if it will see them again, and as visual tokens. Grows while rows are
 * new, up to the budgets of the two caches; a rehearsal has to add what its few steps have not kept yet.
 */

import type { ImageFeatures } from '../engine/image_features.ts';
import type { VisionConfig } from '../models/architecture.ts';

/** Patches of the distinct images of some rows. */
export interface RowImages {
  readonly rows: number;
  readonly patches: number;
}

export interface KeptImages {
  /** Rows the run will have seen in the end. */
  readonly rows: number;
  /** Bytes of pixels it may keep; the rehearsal has kept none. */
  readonly pixelBudget: number;
  /** Visual tokens of the policy, and of a reference, which encodes images for itself. */
  readonly features: readonly Pick<ImageFeatures, 'bytes' | 'budget'>[];
}

/** Bytes by which kept images will grow, if the run's rows have such images as the ones looked at. */
export function growthOfImages(
  images: RowImages,
  { rows, pixelBudget, features }: KeptImages,
  { patchSize, spatialMergeSize, outHiddenSize }: VisionConfig,
): number {
  const patches = (images.patches / images.rows) * rows;
  const pixels = Math.min(3 * patchSize ** 2 * patches, pixelBudget);
  const tokens = (Float32Array.BYTES_PER_ELEMENT * outHiddenSize * patches) / spatialMergeSize ** 2;
  return features.reduce((sum, { budget, bytes }) => sum + Math.max(0, Math.min(tokens, budget) - bytes), pixels);
}
