/**
 * Keeps images by content, up to a budget of bytes, and makes an image once however many ask for it.
 * Knows hashes and sizes, not pixels.
 */

import { createByteCache } from '../util/byte_cache.ts';
import type { ShownSize } from './grounding.ts';

/** What the vision tower needs of one image. */
export interface ProcessedImage {
  /** (t * h * w, channels * temporalPatch * patch * patch); made anew from the kept pixels at every access. */
  readonly pixelValues: Float32Array;
  /** Writes them into memory that is there. */
  readonly writePixels?: (target: Float32Array) => void;
  /** In patches. */
  readonly gridThw: readonly [number, number, number];
  /** Pixels of the file, and pixels after resizing. */
  readonly size: ShownSize;
  /** Equal for equal files under equal processing, different otherwise. */
  readonly hash: string;
}

/** An image and the bytes it holds. */
export interface SizedImage {
  readonly image: ProcessedImage;
  readonly bytes: number;
}

export interface ImageCache {
  /** The image of that hash, made by `make` unless it is there or under way. */
  get(hash: string, make: () => Promise<SizedImage>): Promise<ProcessedImage>;
}

/** Least recently used out first, once the images together exceed `budget` bytes. */
export function createImageCache(budget: number): ImageCache {
  const kept = createByteCache<ProcessedImage>(budget);
  const pending = new Map<string, Promise<SizedImage>>();
  return {
    get: async (hash, make) => {
      const known = kept.get(hash);
      if (known !== undefined) return known;
      const underWay = pending.get(hash);
      if (underWay !== undefined) return (await underWay).image;
      const making = make().finally(() => pending.delete(hash));
      pending.set(hash, making);
      const { image, bytes } = await making;
      kept.set(hash, image, bytes);
      return image;
    },
  };
}
