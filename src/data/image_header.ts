/**
 * Format and size of an image from its first bytes: enough to refuse a file before a run begins, without its pixels.
 * Knows PNG, JPEG, WebP and GIF; what it cannot make out is left to the decoder.
 */

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif';

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Bytes of a file from a position on; fewer at its end. */
export type ReadAt = (position: number, length: number) => Promise<Uint8Array>;

/** Bytes that tell the format, and the size too but for a JPEG with much before its frame. */
export const OPENING_BYTES = 4096;

/** The format that the first bytes of a file announce; null for any other. */
export function formatOf(bytes: Uint8Array): ImageFormat | null {
  const latin = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 12)).toString('latin1');
  if (latin.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (latin.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (latin.startsWith('RIFF') && latin.slice(8, 12) === 'WEBP') return 'webp';
  if (/^GIF8[79]a/.test(latin)) return 'gif';
  return null;
}

/**
 * The size that the header states; null where there is none to be found, 'cut off' where the file ends before it.
 *
 * @param opening the first OPENING_BYTES of the file, or all there are
 */
export async function sizeInHeader(
  format: ImageFormat,
  opening: Uint8Array,
  read: ReadAt,
): Promise<ImageSize | 'cut off' | null> {
  const size = format === 'jpeg' ? await sizeOfJpeg(opening, read) : SIZE_OF[format](viewOf(opening));
  return size === null || size === 'cut off' || (size.width > 0 && size.height > 0) ? size : null;
}

// --- internal ---

type FromOpening = (view: DataView) => ImageSize | 'cut off' | null;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const SIZE_OF: Readonly<Record<Exclude<ImageFormat, 'jpeg'>, FromOpening>> = {
  png: (view) => (view.byteLength < 24 ? 'cut off' : { width: view.getUint32(16), height: view.getUint32(20) }),
  gif: (view) =>
    view.byteLength < 10 ? 'cut off' : { width: view.getUint16(6, true), height: view.getUint16(8, true) },
  webp: sizeOfWebp,
};

/** By the kind of its first chunk: lossy, lossless, or extended (developers.google.com/speed/webp/docs/riff_container). */
function sizeOfWebp(view: DataView): ImageSize | 'cut off' | null {
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

/** Segments before the frame header; a file with more is left to the decoder. */
const MAX_SEGMENTS = 256;

/** Goes from segment to segment up to the frame header (SOF0 to SOF15 in ITU-T T.81, B.1.1.3). */
async function sizeOfJpeg(opening: Uint8Array, read: ReadAt): Promise<ImageSize | 'cut off' | null> {
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
