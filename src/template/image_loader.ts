/**
 * Reads, decodes and resizes the images of prompts, and keeps the resized ones. Knows nothing of text.
 */
import { createHash } from 'node:crypto';
import { decodeImage } from '../data/image_decode.ts';
import { type ImageSource, nameOfSource, readImageBytes } from '../data/image_source.ts';
import type { AlphaMode } from '../data/rgb.ts';
import {
  gridOf,
  type ImageProcessorConfig,
  patchElements,
  resizeToGrid,
  writePatches,
} from '../models/image_processing.ts';
import type { RgbImage } from '../models/image_resize.ts';
import { nameOfTransform, transformPixels } from '../models/image_transform.ts';
import { createExclusive } from '../util/mutex.ts';
import { createImageCache, type ProcessedImage } from './image_cache.ts';

/** Default of `imageCacheBytes`. */
export const IMAGE_CACHE_BYTES = 64 * 2 ** 20;

export interface ImageLoaderOptions {
  /** Budget for resized images kept in memory, at 3 bytes a pixel. */
  readonly imageCacheBytes?: number | undefined;
  /** How transparent parts of images are handled; default white. */
  readonly imageAlpha?: AlphaMode | undefined;
  /** Gets a notice when the first image is composited on white. */
  readonly tell?: ((text: string) => void) | undefined;
}

/** The image as input of the vision tower. Errors: those of image sources, of decoding and of resizing. */
export type LoadImage = (source: ImageSource) => Promise<ProcessedImage>;

export function createImageLoader(
  processor: ImageProcessorConfig,
  { imageCacheBytes = IMAGE_CACHE_BYTES, imageAlpha: alpha = 'white', tell }: ImageLoaderOptions,
): LoadImage {
  const cache = createImageCache(imageCacheBytes);
  const processing = JSON.stringify({ processor, alpha });
  let hasToldOfWhiteGround = false;
  const tellOfWhiteGround = (name: string): void => {
    if (!hasToldOfWhiteGround) tell?.(whiteGroundText(name));
    hasToldOfWhiteGround = true;
  };
  // One image at a time: the decoded pixels of a whole batch would take many times the memory of the resized ones.
  const oneByOne = createExclusive();
  return async (source) => {
    const bytes = await readImageBytes(source);
    const hash = createHash('sha256').update(processing).update(bytes).digest('hex');
    return cache.get(hash, () =>
      oneByOne(async () => {
        const name = nameOfSource(source);
        const pixels = await decodeImage(bytes, { name, where: source.where, alpha });
        if (pixels.hasWhiteGround) tellOfWhiteGround(name);
        const resized = await resizeToGrid(pixels, processor, source.where);
        return { image: processedImage(pixels, resized, processor, hash), bytes: resized.data.byteLength };
      }),
    );
  };
}

// --- internal ---

/** Patches take eight times the bytes of the pixels and are rarely needed twice, so they are computed at each access. */
function processedImage(
  { width, height }: Pick<RgbImage, 'width' | 'height'>,
  resized: RgbImage,
  processor: ImageProcessorConfig,
  hash: string,
  isTransient = false,
): ProcessedImage {
  const writePixels = (target: Float32Array): void => writePatches(resized, processor, target);
  return {
    hash,
    gridThw: gridOf(resized, processor),
    size: { stored: { width, height }, shown: { width: resized.width, height: resized.height } },
    writePixels,
    isTransient,
    transformed(transform, random) {
      const changed = transformPixels(resized, transform, processor.patchSize, random);
      const isTransient = transform.kind === 'blackout';
      const name = createHash('sha256').update(hash).update(nameOfTransform(transform));
      if (isTransient) name.update(changed.data);
      return processedImage({ width, height }, changed, processor, name.digest('hex'), isTransient);
    },
    get pixelValues() {
      const patches = new Float32Array(patchElements(resized, processor));
      writePixels(patches);
      return patches;
    },
  };
}

const whiteGroundText = (name: string): string =>
  `images with transparent parts are put on a white background; the first one is ${name}. --image_alpha drop ignores the transparency instead`;
