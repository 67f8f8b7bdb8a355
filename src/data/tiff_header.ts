/**
 * Reads the first directory of a TIFF or BigTIFF: the size, how pixels are stored, what an extra channel means.
 * Knows tags (TIFF 6.0, section 8), not pixels.
 */
import type { ImageSize, ReadAt } from './image_size.ts';

/** The size is that of the upright image, after its orientation has been applied. */
export interface TiffHeader extends ImageSize {
  /** Whether the file has an extra channel that it declares not to be alpha. */
  readonly hasOtherChannel: boolean;
  /** Why sharp cannot read the pixels correctly; null if it can. */
  readonly unreadable: string | null;
}

/** Whether the file begins like a TIFF or BigTIFF, in either byte order. */
export function isTiff(bytes: Uint8Array): boolean {
  const latin = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4)).toString('latin1');
  return latin === 'II*\0' || latin === 'MM\0*' || latin === 'II+\0' || latin === 'MM\0+';
}

/** The header of a file for which `isTiff` is true; null if it is malformed, 'cut off' if the file ends within it. */
export async function readTiffHeader(read: ReadAt): Promise<TiffHeader | 'cut off' | null> {
  const opening = viewOf(await read(0, 16));
  if (opening.byteLength < 16) return 'cut off';
  const little = opening.getUint8(0) === 0x49;
  const layout = (opening.getUint8(2) || opening.getUint8(3)) === 43 ? BIG : CLASSIC;
  const wordAt = (view: DataView, at: number): number =>
    layout === BIG ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little);
  const start = wordAt(opening, layout.firstDirectory);
  if (!Number.isSafeInteger(start)) return null;
  const count = viewOf(await read(start, layout.countBytes));
  if (count.byteLength < layout.countBytes) return 'cut off';
  const entries = layout === BIG ? Number(count.getBigUint64(0, little)) : count.getUint16(0, little);
  if (entries > MAX_ENTRIES) return null;
  const table = viewOf(await read(start + layout.countBytes, entries * layout.entryBytes));
  if (table.byteLength < entries * layout.entryBytes) return 'cut off';
  const numbers = new Map<number, number>();
  for (let at = 0; at < table.byteLength; at += layout.entryBytes) {
    const isShort = table.getUint16(at + 2, little) === SHORT;
    const value = at + layout.valueOffset;
    numbers.set(table.getUint16(at, little), isShort ? table.getUint16(value, little) : wordAt(table, value));
  }
  const [width, height] = [numbers.get(IMAGE_WIDTH), numbers.get(IMAGE_LENGTH)];
  if (width === undefined || height === undefined) return null;
  const isOnItsSide = (numbers.get(ORIENTATION) ?? 1) >= 5;
  return {
    width: isOnItsSide ? height : width,
    height: isOnItsSide ? width : height,
    hasOtherChannel: numbers.get(EXTRA_SAMPLES) === UNSPECIFIED,
    unreadable: unreadableKind(numbers.get(COMPRESSION) ?? 1, numbers.get(PHOTOMETRIC)),
  };
}

// --- internal ---

interface Layout {
  readonly firstDirectory: number;
  readonly countBytes: number;
  readonly entryBytes: number;
  readonly valueOffset: number;
}

const CLASSIC: Layout = { firstDirectory: 4, countBytes: 2, entryBytes: 12, valueOffset: 8 };
const BIG: Layout = { firstDirectory: 8, countBytes: 8, entryBytes: 20, valueOffset: 12 };

function unreadableKind(compression: number, photometric: number | undefined): string | null {
  if (!COMPRESSIONS.has(compression)) return `compression ${compression}`;
  const isJpeg = compression === 6 || compression === 7;
  return photometric === YCBCR && !isJpeg ? 'YCbCr colours without JPEG compression' : null;
}

/** What sharp is built with: none (1), fax (2 to 4), LZW (5), JPEG (6, 7), Deflate (8, 32946), PackBits (32773). */
const COMPRESSIONS: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 6, 7, 8, 32_773, 32_946]);
const YCBCR = 6;

/** More than real files have. A directory that claims more is left to the decoder. */
const MAX_ENTRIES = 4096;
const SHORT = 3;
const IMAGE_WIDTH = 256;
const IMAGE_LENGTH = 257;
const COMPRESSION = 259;
const PHOTOMETRIC = 262;
const ORIENTATION = 274;
const EXTRA_SAMPLES = 338;
const UNSPECIFIED = 0;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
