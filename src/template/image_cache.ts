/**
 * Keeps processed images by content, up to a budget of bytes, and processes an image once however many ask for it.
 * Knows hashes and sizes, not pixels.
 */

/** What the vision tower needs of one image. */
export interface ProcessedImage {
  /** (t * h * w, channels * temporalPatch * patch * patch) */
  readonly pixelValues: Float32Array;
  /** In patches. */
  readonly gridThw: readonly [number, number, number];
  /** Equal for equal files under equal processing, different otherwise. */
  readonly hash: string;
}

export interface ImageCache {
  /** The image of that hash, made by `make` unless it is there or under way. */
  get(hash: string, make: () => Promise<ProcessedImage>): Promise<ProcessedImage>;
}

/** Least recently used out first, once the pixel values together exceed `budget` bytes. */
export function createImageCache(budget: number): ImageCache {
  const entries = new Map<string, ProcessedImage>();
  const pending = new Map<string, Promise<ProcessedImage>>();
  let held = 0;
  const store = (image: ProcessedImage): void => {
    entries.set(image.hash, image);
    held += image.pixelValues.byteLength;
    for (const [hash, oldest] of entries) {
      if (held <= budget) break;
      entries.delete(hash);
      held -= oldest.pixelValues.byteLength;
    }
  };
  return {
    get: async (hash, make) => {
      const known = entries.get(hash);
      if (known !== undefined) {
        entries.delete(hash);
        entries.set(hash, known);
        return known;
      }
      const underWay = pending.get(hash);
      if (underWay !== undefined) return underWay;
      const made = make().finally(() => pending.delete(hash));
      pending.set(hash, made);
      const image = await made;
      store(image);
      return image;
    },
  };
}
