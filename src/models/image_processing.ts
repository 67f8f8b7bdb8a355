/**
 * Turns pixels into the patches that a vision tower reads: target size, resampling, normalisation, patch order.
 * Follows transformers' Qwen2VLImageProcessor. Knows no image files, no image formats and no text.
 */
import { join } from 'node:path';
import { readJsonFileIfPresent } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import { describe, isJsonObject, type JsonObject } from '../util/json.ts';
import type { Grid, VisionConfig } from './architecture.ts';
import { MAX_IMAGE_PIXELS, type RgbImage, resizeBicubic } from './image_resize.ts';

export interface ImageProcessorConfig {
  /** Limits on width * height after resizing. */
  readonly minPixels: number;
  readonly maxPixels: number;
  readonly patchSize: number;
  readonly temporalPatchSize: number;
  readonly mergeSize: number;
  readonly rescaleFactor: number;
  /** Per channel R, G, B, for pixels in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export interface ImageLimits {
  readonly minPixels?: number | undefined;
  readonly maxPixels?: number | undefined;
}

/** Longest side divided by shortest; the reference has the same limit. */
const MAX_ASPECT_RATIO = 200;

/**
 * The image processor of a checkpoint folder, from processor_config.json (transformers 5) or preprocessor_config.json, or
 * else with the defaults of Qwen2VLImageProcessor. `limits` replace the limits of the checkpoint.
 *
 * Errors: E_PROCESSOR_INVALID, E_PROCESSOR_UNSUPPORTED, E_PIXEL_LIMITS.
 */
export function readImageProcessorConfig(dir: string, limits: ImageLimits = {}): ImageProcessorConfig {
  const nestedPath = join(dir, 'processor_config.json');
  const nested = readJsonFileIfPresent(nestedPath)?.image_processor;
  if (isJsonObject(nested)) return parseImageProcessorConfig(nested, nestedPath, limits);
  const flatPath = join(dir, 'preprocessor_config.json');
  return parseImageProcessorConfig(readJsonFileIfPresent(flatPath) ?? {}, flatPath, limits);
}

/** The same from a parsed object. `min_pixels` and `max_pixels` override `size`, as in the reference (transformers 5). */
export function parseImageProcessorConfig(
  json: JsonObject,
  where: string,
  limits: ImageLimits = {},
): ImageProcessorConfig {
  const { shortest_edge: minPixels, longest_edge: maxPixels } = sizeOf(json, where);
  const positive = (name: string, value: unknown, fallback: number): number => {
    if (value === undefined || value === null) return fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    throw invalid(name, value, 'a number above 0', where);
  };
  const triple = (name: string, [min, max]: Bounds, fallback: readonly number[]): readonly number[] => {
    const value = json[name];
    if (value === undefined || value === null) return fallback;
    const isTriple =
      Array.isArray(value) &&
      value.length === 3 &&
      value.every((x) => typeof x === 'number' && Number.isFinite(x) && x >= min && x <= max);
    if (!isTriple) throw invalid(name, value, `three numbers from ${min} to ${max}`, where);
    return value;
  };
  for (const step of ['do_resize', 'do_rescale', 'do_normalize', 'do_convert_rgb']) {
    if (json[step] === false) throw unsupported(step, json[step], 'true', where);
  }
  if (json.resample !== undefined && json.resample !== null && json.resample !== 3) {
    throw unsupported('resample', json.resample, '3 (bicubic)', where);
  }
  const config: ImageProcessorConfig = {
    minPixels: limits.minPixels ?? positive('min_pixels', minPixels, 56 * 56),
    maxPixels: limits.maxPixels ?? positive('max_pixels', maxPixels, 28 * 28 * 1280),
    patchSize: positive('patch_size', json.patch_size, 14),
    temporalPatchSize: positive('temporal_patch_size', json.temporal_patch_size, 2),
    mergeSize: positive('merge_size', json.merge_size, 2),
    rescaleFactor: positive('rescale_factor', json.rescale_factor, 1 / 255),
    mean: triple('image_mean', MEANS, [0.48145466, 0.4578275, 0.40821073]),
    std: triple('image_std', DEVIATIONS, [0.26862954, 0.26130258, 0.27577711]),
  };
  const [least, most] = RESCALE_FACTORS;
  if (config.rescaleFactor < least || config.rescaleFactor > most) {
    throw invalid('rescale_factor', config.rescaleFactor, `a number from ${least} to ${most}`, where);
  }
  checkLimits(config, limits, where);
  return config;
}

/** Refuses a processor whose patches do not fit the vision tower. Error: E_PROCESSOR_INVALID. */
export function checkAgainstVision(config: ImageProcessorConfig, vision: VisionConfig, where: string): void {
  const pairs = [
    ['patch_size', config.patchSize, vision.patchSize],
    ['temporal_patch_size', config.temporalPatchSize, vision.temporalPatchSize],
    ['merge_size', config.mergeSize, vision.spatialMergeSize],
    ['channels', 3, vision.inChannels],
  ] as const;
  for (const [name, here, there] of pairs) {
    if (here !== there) {
      throw new SightlineError(
        'E_PROCESSOR_INVALID',
        `${name} is ${here} in the image processor, ${there} in config.json`,
        {
          where,
          hint: 'the files come from different checkpoints; fetch the folder again',
        },
      );
    }
  }
}

/**
 * The size that an image is resized to: both sides are multiples of `factor`, the area is within the limits, and the aspect
 * ratio is kept as far as possible. Equal to transformers' `smart_resize`, including Python's rounding (half to even).
 * Error: E_IMAGE_ASPECT.
 */
export function smartResize(
  height: number,
  width: number,
  { factor, minPixels, maxPixels }: { factor: number; minPixels: number; maxPixels: number },
  where = 'image',
): { height: number; width: number } {
  checkAspectRatio({ height, width }, where);
  let h = roundHalfEven(height / factor) * factor;
  let w = roundHalfEven(width / factor) * factor;
  if (h * w > maxPixels) {
    const beta = Math.sqrt((height * width) / maxPixels);
    h = Math.max(factor, Math.floor(height / beta / factor) * factor);
    w = Math.max(factor, Math.floor(width / beta / factor) * factor);
  } else if (h * w < minPixels) {
    const beta = Math.sqrt(minPixels / (height * width));
    h = Math.ceil((height * beta) / factor) * factor;
    w = Math.ceil((width * beta) / factor) * factor;
  }
  return { height: h, width: w };
}

/** Refuses an image that is too elongated, as the reference does. Error: E_IMAGE_ASPECT. */
export function checkAspectRatio({ height, width }: Pick<RgbImage, 'height' | 'width'>, where: string): void {
  const ratio = Math.max(height, width) / Math.min(height, width);
  if (!(ratio <= MAX_ASPECT_RATIO)) {
    throw new SightlineError(
      'E_IMAGE_ASPECT',
      `image is ${width} x ${height}: an aspect ratio of ${ratio.toFixed(0)}, at most ${MAX_ASPECT_RATIO} is allowed`,
      {
        where,
        hint: 'crop or split the image',
      },
    );
  }
}

/** Resizes an image to the size from `smartResize`, with 8 bits per channel. Error: E_IMAGE_ASPECT. */
export async function resizeToGrid(image: RgbImage, config: ImageProcessorConfig, where = 'image'): Promise<RgbImage> {
  const { patchSize, mergeSize, minPixels, maxPixels } = config;
  const size = smartResize(image.height, image.width, { factor: patchSize * mergeSize, minPixels, maxPixels }, where);
  return resizeBicubic(image, size.width, size.height);
}

/** The grid of a resized image, in patches. */
export const gridOf = ({ width, height }: RgbImage, { patchSize }: ImageProcessorConfig): Grid => [
  1,
  height / patchSize,
  width / patchSize,
];

/** Number of elements in all patches of a resized image. */
export function patchElements(resized: RgbImage, { temporalPatchSize }: ImageProcessorConfig): number {
  return resized.width * resized.height * 3 * temporalPatchSize;
}

/**
 * Writes the normalised patches of a resized image: [gridT * gridH * gridW, 3 * temporalPatch * patch * patch], row-major.
 * Rows are ordered by merged block, then by patch inside the block; columns by channel, time, y, x. The image is repeated
 * along time.
 */
export function writePatches(resized: RgbImage, config: ImageProcessorConfig, pixelValues: Float32Array): void {
  const { patchSize, mergeSize, temporalPatchSize } = config;
  const [, gridH, gridW] = gridOf(resized, config);
  const table = normaliseTable(config);
  const plane = patchSize * patchSize;
  let to = 0;
  for (let blockY = 0; blockY < gridH; blockY += mergeSize) {
    for (let blockX = 0; blockX < gridW; blockX += mergeSize) {
      for (let i = 0; i < mergeSize * mergeSize; i++) {
        const top = (blockY + Math.floor(i / mergeSize)) * patchSize;
        const left = (blockX + (i % mergeSize)) * patchSize;
        for (let channel = 0; channel < 3; channel++) {
          const start = to;
          for (let y = top; y < top + patchSize; y++) {
            let from = (y * resized.width + left) * 3 + channel;
            for (let x = 0; x < patchSize; x++, from += 3)
              pixelValues[to++] = table[channel * 256 + resized.data[from]!]!;
          }
          for (let t = 1; t < temporalPatchSize; t++, to += plane) pixelValues.copyWithin(to, start, start + plane);
        }
      }
    }
  }
}

/** Python's round(): ties go to the even neighbour. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

/** Number of tokens of an image, after merging its patches. */
export function visualTokens([t, h, w]: Grid, spatialMergeSize: number): number {
  return (t * h * w) / spatialMergeSize ** 2;
}

// --- internal ---

type Bounds = readonly [min: number, max: number];

/**
 * Generous bounds around all real processors, for pixels of 0 to 255 or of 0 to 1. Beyond them float32 turns patches, and
 * with them all logits, into NaN.
 */
const MEANS: Bounds = [-1000, 1000];
const DEVIATIONS: Bounds = [0.001, 1000];
const RESCALE_FACTORS: Bounds = [1e-6, 1];

/**
 * The field `size`, overridden by `min_pixels` and `max_pixels`. Any other content is refused, as in the reference: ignoring
 * a limit would change the number of visual tokens.
 */
function sizeOf(json: JsonObject, where: string): JsonObject {
  const { size, min_pixels: min, max_pixels: max } = json;
  const [givesMin, givesMax] = [min, max].map((value) => value !== undefined && value !== null);
  if (size === undefined || size === null) {
    return { ...(givesMin ? { shortest_edge: min } : {}), ...(givesMax ? { longest_edge: max } : {}) };
  }
  const merged = isJsonObject(size) ? { ...size } : {};
  if (givesMin) {
    merged.shortest_edge = min;
    delete merged.min_pixels;
  }
  if (givesMax) {
    merged.longest_edge = max;
    delete merged.max_pixels;
  }
  const edges = [merged.shortest_edge, merged.longest_edge];
  const known = Object.keys(merged).length === 2 && edges.every((edge) => typeof edge === 'number' && edge > 0);
  if (isJsonObject(size) && known) return merged;
  throw new SightlineError(
    'E_PROCESSOR_INVALID',
    `field size is ${describe(size)}, expected {"shortest_edge": MIN, "longest_edge": MAX}, the pixels of an image`,
    {
      where,
      hint: 'write it in this form, or remove it and give min_pixels and max_pixels; transformers refuses it too',
    },
  );
}

/**
 * The normalised value of every (channel, byte). The reference folds rescaling into mean and std and computes in float32;
 * rounding after the same operations gives the same bits.
 */
function normaliseTable({ mean, std, rescaleFactor }: ImageProcessorConfig): Float32Array {
  const table = new Float32Array(3 * 256);
  const scale = Math.fround(1 / rescaleFactor);
  for (let channel = 0; channel < 3; channel++) {
    const center = Math.fround(Math.fround(mean[channel]!) * scale);
    const spread = Math.fround(Math.fround(std[channel]!) * scale);
    for (let value = 0; value < 256; value++) table[channel * 256 + value] = Math.fround(value - center) / spread;
  }
  return table;
}

function checkLimits(config: ImageProcessorConfig, limits: ImageLimits, where: string): void {
  const { minPixels, maxPixels, patchSize, mergeSize } = config;
  const given = limits.minPixels !== undefined || limits.maxPixels !== undefined;
  const source = given ? 'MIN_PIXELS / MAX_PIXELS' : where;
  for (const [name, value, flag] of [
    ['min_pixels', minPixels, limits.minPixels],
    ['max_pixels', maxPixels, limits.maxPixels],
  ] as const) {
    if (!Number.isInteger(value) || value < 1 || value > MAX_IMAGE_PIXELS) {
      throw new SightlineError(
        'E_PIXEL_LIMITS',
        `${name} is ${value}, expected a whole number of pixels from 1 to ${MAX_IMAGE_PIXELS}`,
        {
          where: flag === undefined ? where : `--${name} (${name.toUpperCase()})`,
          hint: 'published checkpoints have 3136 and 12845056; lower --max_pixels for fewer visual tokens',
        },
      );
    }
  }
  if (minPixels > maxPixels) {
    throw new SightlineError('E_PIXEL_LIMITS', `min_pixels (${minPixels}) is above max_pixels (${maxPixels})`, {
      where: source,
      hint: 'set both, or set the other one too',
    });
  }
  const smallest = (patchSize * mergeSize) ** 2;
  if (maxPixels < smallest) {
    throw new SightlineError(
      'E_PIXEL_LIMITS',
      `max_pixels is ${maxPixels}, less than one visual token (${smallest} pixels)`,
      { where: source, hint: `set it to ${smallest} or more` },
    );
  }
}

function invalid(name: string, value: unknown, expected: string, where: string): SightlineError {
  return new SightlineError('E_PROCESSOR_INVALID', `field ${name} is ${describe(value)}, expected ${expected}`, {
    where,
    hint: 'compare with the file that the model was published with',
  });
}

function unsupported(name: string, value: unknown, expected: string, where: string): SightlineError {
  return new SightlineError(
    'E_PROCESSOR_UNSUPPORTED',
    `field ${name} is ${describe(value)}, only ${expected} is supported`,
    { where, hint: 'use the file that the model was published with' },
  );
}
