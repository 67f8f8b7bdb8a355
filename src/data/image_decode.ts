/**
 * Encoded image bytes -> 8-bit RGB, the pixels that PIL's `Image.open(...).convert('RGB')` gives.
 * Knows formats and colour models, not sources, sizes or models. sharp decodes here and does nothing else.
 */
import type { Sharp } from 'sharp';
import { messageOf, SightlineError } from '../errors.ts';
import { MAX_IMAGE_PIXELS, type RgbImage } from '../models/qwen2_5_vl/image_resize.ts';
import { createPause } from '../util/pauses.ts';
import { formatOf, type ImageFormat } from './image_header.ts';

/**
 * Decodes PNG, JPEG, WebP and GIF (first frame). As in PIL: EXIF rotation and colour profiles are not applied, alpha is
 * dropped without compositing, 16-bit colour keeps its high byte, 16-bit grey is clipped at 255, CMYK is 255 - min(255, ink).
 * Transparent pixels of a GIF are the one difference: they come out black, not in the palette's colour.
 *
 * @param name what errors call the image
 * Errors: E_IMAGE_FORMAT, E_IMAGE_TOO_LARGE, E_IMAGE_CORRUPT.
 */
export async function decodeImage(
  bytes: Uint8Array,
  { name, where, maxPixels = MAX_IMAGE_PIXELS }: { name: string; where: string; maxPixels?: number },
): Promise<RgbImage> {
  checkFormat(bytes, { name, where });
  const { default: sharp } = await import('sharp');
  // A profile or an odd chunk is no reason to refuse a file that PIL reads; missing or wrong data is.
  const open = (): Sharp => sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: false, pages: 1 });
  const corrupt = (cause: unknown): SightlineError => corruptImage(name, messageOf(cause), where, cause);
  const { width, height, channels, depth, space } = await open()
    .metadata()
    .catch((cause: unknown) => {
      throw corrupt(cause);
    });
  checkPixelCount({ width, height }, { name, where, maxPixels });
  const deep = depth === 'ushort';
  const model = space === 'cmyk' ? 'cmyk' : deep ? (channels < 3 ? 'grey16' : 'rgb16') : 'srgb';
  const { data, info } = await open()
    .pipelineColourspace(model)
    .toColourspace(model)
    .raw({ depth: deep ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      throw corrupt(cause);
    });
  const samples = deep ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2) : data;
  const convert = model === 'cmyk' ? cmyk : model === 'grey16' && channels === 1 ? clippedGrey : deep ? highByte : same;
  return {
    width: info.width,
    height: info.height,
    data: await convert(samples, info.width * info.height, info.channels),
  };
}

interface Named {
  /** What errors call the image. */
  readonly name: string;
  readonly where: string;
}

/** The format; refuses what does not begin like an image that can be read. Error: E_IMAGE_FORMAT. */
export function checkFormat(bytes: Uint8Array, { name, where }: Named): ImageFormat {
  const format = formatOf(bytes);
  if (format !== null) return format;
  throw new SightlineError('E_IMAGE_FORMAT', `image has an unknown format: ${name} begins with ${opening(bytes)}`, {
    where,
    hint: 'PNG, JPEG, WebP and GIF can be read; convert the file',
  });
}

/** Refuses an image whose pixels would take too much memory. Error: E_IMAGE_TOO_LARGE. */
export function checkPixelCount(
  { width, height }: { readonly width: number; readonly height: number },
  { name, where, maxPixels = MAX_IMAGE_PIXELS }: Named & { readonly maxPixels?: number },
): void {
  if (width * height <= maxPixels) return;
  throw new SightlineError(
    'E_IMAGE_TOO_LARGE',
    `image ${name} has ${width} x ${height} pixels, at most ${maxPixels} are decoded`,
    {
      where,
      hint: 'shrink the image; the model sees at most MAX_PIXELS of it in any case',
    },
  );
}

/** E_IMAGE_CORRUPT, with the first line of why. */
export function corruptImage(name: string, why: string, where: string, cause?: unknown): SightlineError {
  return new SightlineError('E_IMAGE_CORRUPT', `image is damaged: ${name}: ${firstLine(why)}`, {
    where,
    hint: 'replace or remove this image',
    cause,
  });
}

// --- internal ---

type Samples = Uint8Array | Uint16Array; // [pixels, channels]

type Convert = (samples: Samples, pixels: number, channels: number) => Promise<Uint8Array>;

const same: Convert = (samples, pixels, channels) => pick(samples, pixels, channels, (value) => value);

const highByte: Convert = (samples, pixels, channels) => pick(samples, pixels, channels, (value) => value >> 8);

/** PIL's mode I;16 -> RGB clips instead of scaling (src/libImaging/Convert.c), so most 16-bit grey images turn white. */
const clippedGrey: Convert = (samples, pixels, channels) =>
  pick(samples, pixels, channels, (value) => Math.min(value, 255));

async function pick(
  samples: Samples,
  pixels: number,
  channels: number,
  map: (value: number) => number,
): Promise<Uint8Array> {
  const rgb = new Uint8Array(pixels * 3);
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  await inBatches(pixels, (begin, end) => {
    for (let pixel = begin, from = begin * channels; pixel < end; pixel++, from += channels) {
      rgb[3 * pixel] = map(samples[from]!);
      rgb[3 * pixel + 1] = map(samples[from + green]!);
      rgb[3 * pixel + 2] = map(samples[from + blue]!);
    }
  });
  return rgb;
}

/** Pixels converted before others may have a turn. */
const BATCH = 2 ** 18;

async function inBatches(pixels: number, convert: (begin: number, end: number) => void): Promise<void> {
  const pause = createPause();
  for (let begin = 0; begin < pixels; begin += BATCH) {
    await pause();
    convert(begin, Math.min(pixels, begin + BATCH));
  }
}

/** C, M, Y, K -> RGB with PIL's rounded division by 255 (cmyk2rgb in src/libImaging/Convert.c). */
const cmyk: Convert = async (samples, pixels, channels) => {
  const rgb = new Uint8Array(pixels * 3);
  await inBatches(pixels, (begin, end) => {
    for (let i = begin; i < end; i++) {
      const light = 255 - samples[i * channels + 3]!;
      for (let c = 0; c < 3; c++) {
        const product = samples[i * channels + c]! * light + 128;
        rgb[i * 3 + c] = Math.max(0, light - (((product >> 8) + product) >> 8));
      }
    }
  });
  return rgb;
};

function opening(bytes: Uint8Array): string {
  return bytes.length === 0 ? 'nothing (it is empty)' : `bytes ${Buffer.from(bytes.subarray(0, 8)).toString('hex')}`;
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text;
}
