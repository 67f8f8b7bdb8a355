/**
 * Keeps images by content, up to a budget of bytes, and makes an image once however many ask for it.
 * Knows hashes and sizes, not pixels.
 */

/** What the vision tower needs of one image. */
export interface ProcessedImage {
  /** (t * h * w, channels * temporalPatch * patch * patch); made anew from the kept pixels at every access. */
  readonly pixelValues: Float32Array;
  /** Writes them into memory that is there. */
  readonly writePixels?: (target: Float32Array) => void;
  /** In patches. */
  readonly gridThw: readonly [number, number, number];
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
  const entries = new Map<string, SizedImage>();
  const pending = new Map<string, Promise<SizedImage>>();
  let held = 0;
  const store = (made: SizedImage): void => {
    entries.set(made.image.hash, made);
    held += made.bytes;
    for (const [hash, oldest] of entries) {
      if (held <= budget) break;
      entries.delete(hash);
      held -= oldest.bytes;
    }
  };
  return {
    get: async (hash, make) => {
      const known = entries.get(hash);
      if (known !== undefined) {
        entries.delete(hash);
        entries.set(hash, known);
        return known.image;
      }
      const underWay = pending.get(hash);
      if (underWay !== undefined) return (await underWay).image;
      const making = make().finally(() => pending.delete(hash));
      pending.set(hash, making);
      const made = await making;
      store(made);
      return made.image;
    },
  };
}
