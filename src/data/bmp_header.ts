/**
 * The header of a BMP: size, kind of pixels, first colour of the palette.
 * Knows the layouts that PIL reads (BITMAPCOREHEADER to BITMAPV5HEADER), not pixels.
 */

export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  readonly bitsPerPixel: number;
  /** Run lengths; pixels that they leave out have the first colour of the palette. */
  readonly isRunLength: boolean;
  /** Whether the fourth byte of a pixel is its opacity. Without a mask that says so it means nothing. */
  readonly hasAlpha: boolean;
  /** Bits of green in a pixel of 16 bits; red and blue have 5. */
  readonly greenBits: 5 | 6;
  /** Colour 0 of the palette; black without one. */
  readonly firstColour: readonly [red: number, green: number, blue: number];
  /** Where the pixels begin. */
  readonly dataOffset: number;
}

const HEADER_SIZES: ReadonlySet<number> = new Set([12, 40, 52, 56, 64, 108, 124]);

/** Bytes at the beginning of a file that tell whether it is a BMP. */
export const BMP_MAGIC_BYTES = 18;

/** Whether the file begins as a BMP does: two letters, and the size of one of the headers there are. */
export function isBmp(bytes: Uint8Array): boolean {
  if (bytes.length < BMP_MAGIC_BYTES || bytes[0] !== 0x42 || bytes[1] !== 0x4d) return false;
  return HEADER_SIZES.has(viewOf(bytes).getUint32(14, true));
}

/** The header of a file that begins as a BMP does; 'cut off' where the bytes end before it does. */
export function readBmpHeader(bytes: Uint8Array): BmpHeader | 'cut off' {
  const view = viewOf(bytes);
  const headerSize = view.getUint32(14, true);
  const masks = headerSize === 40 ? 12 : 0; // stand behind the shortest header that may have them
  if (view.byteLength < 14 + headerSize + masks) return 'cut off';
  const dataOffset = view.getUint32(10, true);
  if (headerSize === 12) {
    return {
      width: view.getUint16(18, true),
      height: view.getUint16(20, true),
      bitsPerPixel: view.getUint16(24, true),
      isRunLength: false,
      hasAlpha: false,
      greenBits: 5,
      firstColour: colourAt(view, 26),
      dataOffset,
    };
  }
  const bitsPerPixel = view.getUint16(28, true);
  const compression = view.getUint32(30, true);
  const hasMasks = compression === BITFIELDS;
  return {
    width: view.getInt32(18, true),
    height: Math.abs(view.getInt32(22, true)), // negative: rows from the top
    bitsPerPixel,
    isRunLength: compression === RLE8 || compression === RLE4,
    hasAlpha: hasMasks && bitsPerPixel === 32 && headerSize >= 56 && view.getUint32(66, true) !== 0,
    greenBits: hasMasks && view.getUint32(58, true) === 0x7e0 ? 6 : 5,
    firstColour: colourAt(view, 14 + headerSize),
    dataOffset,
  };
}

// --- internal ---

const RLE8 = 1;
const RLE4 = 2;
const BITFIELDS = 3;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Colours are stored blue first. */
function colourAt(view: DataView, at: number): [number, number, number] {
  if (view.byteLength < at + 3) return [0, 0, 0];
  return [view.getUint8(at + 2), view.getUint8(at + 1), view.getUint8(at)];
}
