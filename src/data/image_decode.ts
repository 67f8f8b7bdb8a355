/**
 * Decodes image bytes to 8-bit RGB: the pixels of PIL's `Image.open(...).convert('RGB')`, except for transparency.
 * Knows which decoder reads which format, not sources or models. All formats are decoded by sharp, except BMP, which
 * bmp_decode.ts decodes.
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
  /** Whether parts of the image were transparent and have been composited on white. */
  readonly hasWhiteGround: boolean;
}

export interface DecodeOptions extends Named {
  /** Default white, as in transformers 5.24. */
  readonly alpha?: AlphaMode;
  readonly maxPixels?: number;
}

/**
 * Decodes PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF. Of several frames or pages it decodes the first. As in PIL, colour
 * profiles are not applied, and an orientation is applied only for TIFF; the part of a GIF's canvas outside its frame has the
 * transparent colour if there is one, else colour 0. docs/images.md lists where the pixels differ from PIL's, and by how much.
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
    // Running out of memory is not a fault of the file.
    if (cause instanceof SightlineError || isOutOfMemory(cause)) throw cause;
    throw corruptImage(name, messageOf(cause), where, cause);
  });
  const frame = format === 'gif' ? readGifFrame(bytes) : null;
  const samples = frame === null || stated === null ? decoded : onCanvas(decoded, frame, stated);
  const { data, hasWhiteGround } = await toRgb(samples, alpha);
  return { width: samples.width, height: samples.height, data, hasWhiteGround };
}

export interface Named {
  /** The image's name in errors. */
  readonly name: string;
  readonly where: string;
}

/** Returns the format. Error: E_IMAGE_FORMAT if the bytes do not begin like an image of a supported format. */
export function checkFormat(bytes: Uint8Array, { name, where }: Named): ImageFormat {
  const format = formatOf(bytes);
  if (format !== null) return format;
  if (isLfsPointer(bytes)) {
    throw new SightlineError('E_IMAGE_FORMAT', `image ${name} is a Git LFS pointer, expected the image itself`, {
      where,
      hint: lfsHint(name),
    });
  }
  throw new SightlineError('E_IMAGE_FORMAT', `image has an unknown format: ${name} begins with ${opening(bytes)}`, {
    where,
    hint: `${FORMATS_READ} can be read; convert the file`,
  });
}

/** Error: E_IMAGE_TOO_LARGE if the pixels would take too much memory. */
export function checkPixelCount(
  { width, height }: { readonly width: number; readonly height: number },
  { name, where, maxPixels = MAX_IMAGE_PIXELS }: Named & { readonly maxPixels?: number },
): void {
  if (width * height <= maxPixels) return;
  throw new SightlineError(
    'E_IMAGE_TOO_LARGE',
    `image ${name} has ${width} x ${height} pixels; the limit is ${maxPixels}`,
    {
      where,
      hint: 'shrink the image; the model sees at most --max_pixels of it in any case',
    },
  );
}

/**
 * The header of a TIFF; null if it is malformed.
 * Error: E_IMAGE_FORMAT for kinds of TIFF that sharp cannot read or would misread.
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

/** Makes an E_IMAGE_CORRUPT error with the first line of `why`. */
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
  // `failOn: 'error'` refuses missing or wrong data, but accepts odd profiles and chunks, as PIL does.
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
  // sharp adds an alpha channel to a grey PNG that declares one shade transparent. PIL treats such an image as plain grey.
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

/** Byte position of the colour type in a PNG (grey, RGB or palette, with or without alpha). */
const PNG_COLOUR_TYPE = 25;

const readerOf =
  (bytes: Uint8Array): ReadAt =>
  async (start, length) =>
    bytes.subarray(start, start + length);

/**
 * Puts the first frame of a GIF on its canvas. The rest of the canvas and the frame's transparent pixels get the background
 * colour. sharp makes them black instead, and it does not keep canvases of every size.
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
