/**
 * Visual tokens of images, encoded once per step. While the tower is frozen they are also kept between steps, up to a
 * budget in bytes. Images are the same if their hashes are.
 */
import { type FloatTensor, floats, rows, zeros } from '../runtime/tensor.ts';
import { createByteCache } from '../util/byte_cache.ts';
import type { Dropout } from './dropout.ts';
import { type ImagePatches, patchesOf } from './vision_inputs.ts';
import type { VisionTape, VisionTower } from './vision_tower.ts';

/** Patches of an image and a name for its content; equal hashes mean equal pixels. */
export interface HashedImage extends ImagePatches {
  readonly hash: string;
  /** Its pixels never come again: its tokens are not kept between steps. */
  readonly isTransient?: boolean;
}

export interface EncodedImages {
  /** By hash: [tokens, hidden]. */
  readonly tokens: ReadonlyMap<string, FloatTensor>;
  /** Where the tower is trained, a tape per batch, with the hashes of the batch's images in order. */
  readonly tapes: readonly { readonly tape: VisionTape; readonly hashes: readonly string[] }[];
}

export interface ImageFeatures {
  /**
   * Encodes each distinct image once. With `keep`, tapes are kept if a part of the tower is trained.
   *
   * @param dropout of the inputs of adapters
   */
  encode(images: readonly HashedImage[], keep: boolean, dropout?: Dropout | null): Promise<EncodedImages>;
  /** Bytes of visual tokens that are kept, and may be kept; 0 where the tower is trained, since its tokens change. */
  readonly bytes: number;
  readonly budget: number;
  /** Drops the visual tokens that are kept, because the tower's weights have changed. */
  forget(): void;
}

/**
 * Most patches of a batch, unless a single image has more. Bounds the tower's buffers. Tokens that are kept are encoded image by
 * image: rounding depends on the batch, and a resumed run must get the tokens of the run that was not stopped.
 */
const BATCH_PATCHES = 8192;

export function createImageFeatures(tower: VisionTower, isTrained: boolean, budget: number): ImageFeatures {
  let kept = createByteCache<FloatTensor>(budget);
  return {
    async encode(images, keep, dropout = null) {
      const tokens = new Map<string, FloatTensor>();
      const missing = new Map<string, HashedImage>();
      for (const image of images) {
        const known = isTrained ? undefined : kept.get(image.hash);
        if (known === undefined) missing.set(image.hash, image);
        else tokens.set(image.hash, known);
      }
      const tapes: { tape: VisionTape; hashes: string[] }[] = [];
      const limit = isTrained ? BATCH_PATCHES : 0;
      for (const [number, batch] of batches([...missing.values()], limit).entries()) {
        const encoded = await tower.forward(
          batch,
          keep && isTrained ? number : null,
          dropout && { ...dropout, random: dropout.random.fork(`images ${number}`) },
        );
        let row = 0;
        for (const { hash, gridThw, isTransient } of batch) {
          const count =
            (encoded.tokens.dims[0]! * patchesOf(gridThw)) /
            batch.reduce((sum, image) => sum + patchesOf(image.gridThw), 0);
          const own = rows(encoded.tokens, row, row + count);
          row += count;
          tokens.set(hash, own);
          // A copy: an image that is kept must not hold its whole batch in memory.
          if (!isTrained && !isTransient) kept.set(hash, floats(own.data.slice(), own.dims), own.data.byteLength);
        }
        if (encoded.tape !== null) tapes.push({ tape: encoded.tape, hashes: batch.map(({ hash }) => hash) });
      }
      return { tokens, tapes };
    },
    forget() {
      kept = createByteCache<FloatTensor>(budget);
    },
    get bytes() {
      return kept.bytes;
    },
    budget: isTrained ? 0 : budget,
  };
}

/** The tape of a batch of images, and zeros to which the cotangents of their tokens are added. */
export interface ImageCotangents {
  readonly tape: VisionTape;
  /** [tokens of all its images, hidden] */
  readonly whole: FloatTensor;
  /** The same memory, by hash: [tokens, hidden]. */
  readonly parts: readonly (readonly [string, FloatTensor])[];
}

export function cotangentsOf({ tokens, tapes }: EncodedImages): ImageCotangents[] {
  return tapes.map(({ tape, hashes }) => {
    const own = hashes.map((hash) => tokens.get(hash)!);
    const whole = zeros(
      own.reduce((sum, { dims }) => sum + dims[0]!, 0),
      own[0]!.dims[1]!,
    );
    let next = 0;
    const parts = hashes.map((hash, i) => {
      const first = next;
      next += own[i]!.dims[0]!;
      return [hash, rows(whole, first, next)] as const;
    });
    return { tape, whole, parts };
  });
}

// --- internal ---

function batches(images: readonly HashedImage[], limit: number): HashedImage[][] {
  const result: HashedImage[][] = [];
  let patches = 0;
  for (const image of images) {
    const count = patchesOf(image.gridThw);
    if (result.length === 0 || patches + count > limit) {
      result.push([]);
      patches = 0;
    }
    result.at(-1)!.push(image);
    patches += count;
  }
  return result;
}
