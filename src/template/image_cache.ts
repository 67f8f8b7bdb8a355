/**
 * Caches images by content, up to a budget of bytes. Concurrent requests for one image share its computation.
 * Knows hashes and sizes, not pixels.
 */

import type { PixelTransform } from '../models/image_transform.ts';
import { createByteCache } from '../util/byte_cache.ts';
import type { Random } from '../util/random.ts';
import type { ShownSize } from './grounding.ts';

/** One image as input of the vision tower. */
export interface ProcessedImage {
  /** [t * h * w, channels * temporalPatch * patch * patch]; computed from the cached pixels at each access. */
  readonly pixelValues: Float32Array;
  /** Writes `pixelValues` into a given array of the same length. */
  readonly writePixels?: (target: Float32Array) => void;
  /** [t, h, w] in patches. */
  readonly gridThw: readonly [number, number, number];
  /** Size of the file's image, and size after resizing. */
  readonly size: ShownSize;
  /** Equal if and only if file content and processing settings are equal. */
  readonly hash: string;
  /** Its pixels are random and never come again: keeping its visual tokens is of no use. */
  readonly isTransient?: boolean;
  /** The same image with other pixels, and a hash of its own. Absent where the pixels are not at hand. */
  transformed?(transform: PixelTransform, random: Random): ProcessedImage;
}

/** An image and the bytes that it keeps in memory. */
export interface SizedImage {
  readonly image: ProcessedImage;
  readonly bytes: number;
}

export interface ImageCache {
  /** Returns the image with this hash. Calls `make` unless the image is cached or being made. */
  get(hash: string, make: () => Promise<SizedImage>): Promise<ProcessedImage>;
}

/** Evicts the least recently used images once all together exceed `budget` bytes. */
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
