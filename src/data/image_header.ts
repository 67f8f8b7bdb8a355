/**
 * Reads the format and size of an image from its first bytes: enough to refuse a file before a run begins, without decoding.
 * Parses PNG, JPEG, WebP and GIF itself; BMP, TIFF and AVIF have their own files. Leaves unclear cases to the decoder.
 */
import { isAvif, readAvifSize } from './avif_header.ts';
import { isBmp, readBmpHeader } from './bmp_header.ts';
import { readGifFrame } from './gif_frame.ts';
import type { ImageSize, ReadAt } from './image_size.ts';
import { isTiff, readTiffHeader } from './tiff_header.ts';

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif' | 'bmp' | 'tiff' | 'avif';

/** The formats in words. */
export const FORMATS_READ = 'PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF';

/** Bytes that suffice for the format, and for the size too unless a JPEG has long segments before its frame header. */
export const OPENING_BYTES = 4096;

/** The format by the first bytes of a file; null if it is not supported. */
export function formatOf(bytes: Uint8Array): ImageFormat | null {
  const latin = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 12)).toString('latin1');
  if (latin.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (latin.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (latin.startsWith('RIFF') && latin.slice(8, 12) === 'WEBP') return 'webp';
  if (/^GIF8[79]a/.test(latin)) return 'gif';
  if (isBmp(bytes)) return 'bmp';
  if (isTiff(bytes)) return 'tiff';
  if (isAvif(bytes)) return 'avif';
  return null;
}

/**
 * The size by the header; null if it cannot be found, 'cut off' if the file ends before it.
 *
 * @param opening the first OPENING_BYTES of the file, or the whole file if it is shorter
 */
export async function sizeInHeader(format: ImageFormat, opening: Uint8Array, read: ReadAt): Promise<StatedSize> {
  const size = await statedSize(format, opening, read);
  if (size === null || size === 'cut off') return size;
  const { width, height } = size;
  return width > 0 && height > 0 ? { width, height } : null;
}

// --- internal ---

type StatedSize = ImageSize | 'cut off' | null;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

async function statedSize(format: ImageFormat, opening: Uint8Array, read: ReadAt): Promise<StatedSize> {
  switch (format) {
    case 'png':
      return sizeOfPng(viewOf(opening));
    case 'jpeg':
      return sizeOfJpeg(opening, read);
    case 'webp':
      return sizeOfWebp(viewOf(opening));
    case 'gif':
      return sizeOfGif(opening);
    case 'bmp':
      return readBmpHeader(opening);
    case 'tiff':
      return readTiffHeader(read);
    case 'avif':
      return readAvifSize(read);
  }
}

function sizeOfPng(view: DataView): StatedSize {
  if (view.byteLength < 24) return 'cut off';
  const isHeader = view.getUint32(12) === 0x49484452; // "IHDR"
  return isHeader ? { width: view.getUint32(16), height: view.getUint32(20) } : null;
}

/** The size of the canvas, which PIL enlarges if the first frame exceeds it. */
function sizeOfGif(opening: Uint8Array): StatedSize {
  const view = viewOf(opening);
  if (view.byteLength < 10) return 'cut off';
  const frame = readGifFrame(opening);
  return {
    width: Math.max(view.getUint16(6, true), frame === null ? 0 : frame.left + frame.width),
    height: Math.max(view.getUint16(8, true), frame === null ? 0 : frame.top + frame.height),
  };
}

/** Depends on the first chunk: lossy, lossless or extended (developers.google.com/speed/webp/docs/riff_container). */
function sizeOfWebp(view: DataView): StatedSize {
  if (view.byteLength < 30) return 'cut off';
  const three = (at: number): number => view.getUint16(at, true) + 0x10000 * view.getUint8(at + 2);
  switch (view.getUint32(12)) {
    case 0x56503820: // "VP8 "
      return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    case 0x5650384c: {
      // "VP8L"
      const bits = view.getUint32(21, true);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case 0x56503858: // "VP8X"
      return { width: three(24) + 1, height: three(27) + 1 };
    default:
      return null;
  }
}

/** Segments looked at before the frame header. A file with more of them is left to the decoder. */
const MAX_SEGMENTS = 256;

/** Skips segments up to the frame header (SOF0 to SOF15 in ITU-T T.81, B.1.1.3). */
async function sizeOfJpeg(opening: Uint8Array, read: ReadAt): Promise<StatedSize> {
  let position = 2;
  for (let segment = 0; segment < MAX_SEGMENTS; segment++) {
    const known = opening.subarray(position, position + 9);
    const view = viewOf(known.length === 9 ? known : await read(position, 9));
    if (view.byteLength < 9) return 'cut off';
    const marker = view.getUint8(1);
    if (view.getUint8(0) !== 0xff) return null;
    if (marker === 0xff) {
      position++; // padding
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) return { width: view.getUint16(7), height: view.getUint16(5) };
    const hasLength = marker >= 0xc0 && (marker < 0xd0 || marker > 0xd9);
    if (!hasLength) return null;
    position += 2 + view.getUint16(2);
  }
  return null;
}
