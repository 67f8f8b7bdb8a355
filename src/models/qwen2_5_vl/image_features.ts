/**
 * Visual tokens of images: encoded once per step, and kept over steps while the tower is frozen.
 * Knows which images are the same by their hash; a budget in bytes bounds what is kept.
 */
import type { FloatTensor } from '../../runtime/tensor.ts';
import type { ImagePatches, VisionTape, VisionTower } from './vision_tower.ts';

/** Patches of an image and a name for its content; equal hashes mean equal pixels. */
export interface HashedImage extends ImagePatches {
  readonly hash: string;
}

export interface EncodedImage {
  /** [tokens, hidden] */
  readonly tokens: FloatTensor;
  /** Present where the tower is trained. */
  readonly tape: VisionTape | null;
}

export interface ImageFeatures {
  /** Encodes each distinct image once. A tape is kept when `keep` is set and some of the tower is trained. */
  encode(images: readonly HashedImage[], keep: boolean): Promise<ReadonlyMap<string, EncodedImage>>;
  /** Bytes of visual tokens held. */
  readonly bytes: number;
}

/** Default budget of kept visual tokens. */
const BUDGET_BYTES = 256 * 2 ** 20;

export function createImageFeatures(tower: VisionTower, isTrained: boolean, budget = BUDGET_BYTES): ImageFeatures {
  // Map order is age: the oldest entry is evicted first, and a hit makes an entry young again.
  const kept = new Map<string, FloatTensor>();
  let bytes = 0;
  const remember = (hash: string, tokens: FloatTensor): void => {
    kept.set(hash, tokens);
    bytes += tokens.data.byteLength;
    for (const [oldest, { data }] of kept) {
      if (bytes <= budget) break;
      kept.delete(oldest);
      bytes -= data.byteLength;
    }
  };
  return {
    async encode(images, keep) {
      const encoded = new Map<string, EncodedImage>();
      for (const image of images) {
        if (encoded.has(image.hash)) continue;
        const known = isTrained ? undefined : kept.get(image.hash);
        if (known !== undefined) {
          kept.delete(image.hash);
          kept.set(image.hash, known);
          encoded.set(image.hash, { tokens: known, tape: null });
          continue;
        }
        const result = await tower.forward(image, keep && isTrained);
        if (!isTrained) remember(image.hash, result.tokens);
        encoded.set(image.hash, result);
      }
      return encoded;
    },
    get bytes() {
      return bytes;
    },
  };
}
