/**
 * Memory of images that a run keeps: as pixels if it will see them again, and as visual tokens. Grows while rows are
 * new, up to the budgets of the two caches; a rehearsal has to add what its few steps have not kept yet.
 */
import { IMAGE_CACHE_BYTES } from '../template/template.ts';
import type { Policy } from './policy.ts';

/** Patches of the distinct images of some rows. */
export interface RowImages {
  readonly rows: number;
  readonly patches: number;
}

/**
 * Bytes by which kept images will grow until `rows` rows have been seen, if those have such images as the ones looked at.
 * A rehearsal keeps no pixels; a reference encodes images for itself.
 */
export function growthOfImages(
  images: RowImages,
  { rows, keepsPixels }: { readonly rows: number; readonly keepsPixels: boolean },
  policy: Policy,
  reference: Policy | null,
): number {
  const { patchSize, spatialMergeSize, outHiddenSize } = policy.config.vision;
  const patches = (images.patches / images.rows) * rows;
  const pixels = keepsPixels ? Math.min(3 * patchSize ** 2 * patches, IMAGE_CACHE_BYTES) : 0;
  const tokens = (Float32Array.BYTES_PER_ELEMENT * outHiddenSize * patches) / spatialMergeSize ** 2;
  const towers = [policy, ...(reference === null ? [] : [reference])].map(({ model }) => model.images);
  return towers.reduce((sum, { budget, bytes }) => sum + Math.max(0, Math.min(tokens, budget) - bytes), pixels);
}
