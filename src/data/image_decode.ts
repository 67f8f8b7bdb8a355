/**
 * Encoded image bytes -> 8-bit RGB, the pixels that PIL's `Image.open(...).convert('RGB')` gives, transparency aside.
 * Knows which decoder reads what, not sources or models. sharp decodes here, and the decoder of bmp_decode.ts, and nothing
 * else.
 */
import type { Sharp } from 'sharp';
import { isLfsPointer, lfsHint } from '../checkpoint/lfs_pointer.ts';
import { isOutOfMemory, messageOf, SightlineError } from '../errors.ts';
import { MAX_IMAGE_PIXELS, type RgbImage } from '../models/image_resize.ts';
import { asStoredStill } from './avif_header.ts';
import { decodeBmp } from './bmp_decode.ts';
import { type GifFrame, readGifFrame } from './gif_frame.ts';
import { FORMATS_READ, formatOf, type ImageFormat, sizeInHeader } from './image_header.ts';
import type { ImageSize, ReadAt } from './image_size.ts';
import { type AlphaMode, type Samples, toRgb } from './rgb.ts';
import { readTiffHeader, type TiffHeader } from './tiff_header.ts';

export interface DecodedImage extends RgbImage {
  /** Whether parts of the image were transparent, and lie on white now. */
  readonly hasWhiteGround: boolean;
}

export interface DecodeOptions extends Named {
  /** Default: white, as transformers 5.24 has it. */
  readonly alpha?: AlphaMode;
  readonly maxPixels?: number;
}

/**
 * Decodes PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF; of several frames or pages, the first. As in PIL: colour profiles are
 * not applied, nor is an orientation, but for that of a TIFF; what a GIF's frame leaves of the canvas has the transparent
 * colour, else colour 0. Where PIL has other pixels, and by how much: docs/images.md.
 *
 * Errors: E_IMAGE_FORMAT, E_IMAGE_TOO_LARGE, E_IMAGE_CORRUPT.
 */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions): Promise<DecodedImage> {
  const { name, where, alpha = 'white' } = options;
  const format = checkFormat(bytes, options);
  const stated = await sizeInHeader(format, bytes, readerOf(bytes));
  if (stated === 'cut off') throw corruptImage(name, 'the file ends too early', where);
  if (stated !== null) checkPixelCount(stated, options);
  const decode = format === 'bmp' ? samplesOfBmp : samplesBySharp;
  const decoded = await decode(bytes, format, options).catch((cause: unknown) => {
    // A machine without memory is no fault of the file.
    if (cause instanceof SightlineError || isOutOfMemory(cause)) throw cause;
    throw corruptImage(name, messageOf(cause), where, cause);
  });
  const frame = format === 'gif' ? readGifFrame(bytes) : null;
  const samples = frame === null || stated === null ? decoded : onCanvas(decoded, frame, stated);
  const { data, hasWhiteGround } = await toRgb(samples, alpha);
  return { width: samples.width, height: samples.height, data, hasWhiteGround };
}

export interface Named {
  /** What errors call the image. */
  readonly name: string;
  readonly where: string;
}

/** The format; refuses what does not begin like an image that can be read. Error: E_IMAGE_FORMAT. */
export function checkFormat(bytes: Uint8Array, { name, where }: Named): ImageFormat {
  const format = formatOf(bytes);
  if (format !== null) return format;
  if (isLfsPointer(bytes)) {
    throw new SightlineError('E_IMAGE_FORMAT', `image ${name} is a Git LFS pointer, expected the picture itself`, {
      where,
      hint: lfsHint(name),
    });
  }
  throw new SightlineError('E_IMAGE_FORMAT', `image has an unknown format: ${name} begins with ${opening(bytes)}`, {
    where,
    hint: `${FORMATS_READ} can be read; convert the file`,
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

/**
 * The header of a TIFF; null where it makes no sense. Refuses kinds that sharp cannot read, or reads as others.
 * Error: E_IMAGE_FORMAT.
 */
export async function checkTiff(read: ReadAt, { name, where }: Named): Promise<TiffHeader | null> {
  const header = await readTiffHeader(read);
  if (header === null || header === 'cut off') return null;
  if (header.unreadable === null) return header;
  throw new SightlineError('E_IMAGE_FORMAT', `image is a TIFF that cannot be read: ${name} has ${header.unreadable}`, {
    where,
    hint: 'save it as RGB with LZW or Deflate compression, or as a PNG',
  });
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

async function samplesOfBmp(bytes: Uint8Array): Promise<Samples> {
  return { ...(await decodeBmp(bytes)), channels: 4, isCmyk: false, isClippedGrey: false, hasAlpha: true };
}

async function samplesBySharp(bytes: Uint8Array, format: ImageFormat, options: DecodeOptions): Promise<Samples> {
  const { default: sharp } = await import('sharp');
  const tiff = format === 'tiff' ? await checkTiff(readerOf(bytes), options) : null;
  const encoded = format === 'avif' ? asStoredStill(bytes) : bytes;
  // A profile or an odd chunk is no reason to refuse a file that PIL reads; missing or wrong data is.
  const open = (): Sharp => sharp(encoded, { failOn: 'error', ignoreIcc: true, limitInputPixels: false, pages: 1 });
  const { width, height, channels, depth, space, hasAlpha } = await open().metadata();
  checkPixelCount({ width, height }, options);
  const isDeep = depth === 'ushort';
  const isCmyk = space === 'cmyk';
  const model = isCmyk ? 'cmyk' : isDeep ? (channels < 3 ? 'grey16' : 'rgb16') : 'srgb';
  const { data, info } = await (format === 'tiff' ? open().autoOrient() : open())
    .pipelineColourspace(model)
    .toColourspace(model)
    .raw({ depth: isDeep ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true });
  // The opacity of a grey PNG comes of one shade that counts as transparent: its grey is to PIL like any other.
  const isGrey = info.channels === 1 || (info.channels === 2 && format === 'png' && bytes[PNG_COLOUR_TYPE] === 0);
  return {
    width: info.width,
    height: info.height,
    data: isDeep ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2) : data,
    channels: info.channels,
    isCmyk,
    hasAlpha: hasAlpha && (info.channels === 2 || info.channels === 4) && tiff?.hasOtherChannel !== true,
    isClippedGrey: isDeep && !isCmyk && isGrey,
  };
}

/** Where a PNG says whether its pixels are grey, colours or numbers of colours, with opacity or without. */
const PNG_COLOUR_TYPE = 25;

const readerOf =
  (bytes: Uint8Array): ReadAt =>
  async (start, length) =>
    bytes.subarray(start, start + length);

/**
 * The first frame of a GIF on its canvas. What it leaves, and what is transparent in it, has the ground's colour, where
 * sharp has black; nor does sharp keep the canvas of every size.
 */
function onCanvas(decoded: Samples, frame: GifFrame, canvas: ImageSize): Samples {
  const { width, height } = canvas;
  const channels = 4;
  const data = new Uint8Array(width * height * channels);
  const ground = [...frame.ground, frame.hasTransparency ? 0 : 255];
  for (let at = 0; at < data.length; at += channels) data.set(ground, at);
  const right = Math.min(frame.left + frame.width, decoded.width);
  const bottom = Math.min(frame.top + frame.height, decoded.height);
  for (let y = frame.top; y < bottom; y++) {
    for (let x = frame.left; x < right; x++) {
      const from = (y * decoded.width + x) * decoded.channels;
      if (decoded.channels === 4 && decoded.data[from + 3] === 0) continue;
      const to = (y * width + x) * channels;
      for (let c = 0; c < 3; c++) data[to + c] = decoded.data[from + c]!;
      data[to + 3] = 255;
    }
  }
  return { width, height, data, channels, isCmyk: false, isClippedGrey: false, hasAlpha: true };
}

function opening(bytes: Uint8Array): string {
  return bytes.length === 0 ? 'nothing (it is empty)' : `bytes ${Buffer.from(bytes.subarray(0, 8)).toString('hex')}`;
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text;
}
