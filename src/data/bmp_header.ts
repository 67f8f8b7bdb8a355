/**
 * Reads the header of a BMP: size, pixel format, first colour of the palette.
 * Knows the layouts that PIL reads (BITMAPCOREHEADER to BITMAPV5HEADER), not pixels.
 */

export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  readonly bitsPerPixel: number;
  /** Whether pixels are run-length encoded. Pixels that the codes skip have the first colour of the palette. */
  readonly isRunLength: boolean;
  /** Whether the fourth byte of a pixel is alpha. Without an alpha mask in the header it has no meaning. */
  readonly hasAlpha: boolean;
  /** Bits of green in a 16-bit pixel; red and blue have 5. */
  readonly greenBits: 5 | 6;
  /** Colour 0 of the palette; black if there is no palette. */
  readonly firstColour: readonly [red: number, green: number, blue: number];
  /** Where the pixels begin. */
  readonly dataOffset: number;
}

const HEADER_SIZES: ReadonlySet<number> = new Set([12, 40, 52, 56, 64, 108, 124]);

/** Bytes needed to recognise a BMP. */
export const BMP_MAGIC_BYTES = 18;

/** Whether the file begins like a BMP: the letters "BM", and the size of a known header. */
export function isBmp(bytes: Uint8Array): boolean {
  if (bytes.length < BMP_MAGIC_BYTES || bytes[0] !== 0x42 || bytes[1] !== 0x4d) return false;
  return HEADER_SIZES.has(viewOf(bytes).getUint32(14, true));
}

/** The header of a file for which `isBmp` is true; 'cut off' if the bytes end within the header. */
export function readBmpHeader(bytes: Uint8Array): BmpHeader | 'cut off' {
  const view = viewOf(bytes);
  const headerSize = view.getUint32(14, true);
  const masks = headerSize === 40 ? 12 : 0; // this header's masks follow it; later versions contain theirs
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
    height: Math.abs(view.getInt32(22, true)), // negative if the rows are stored from the top
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
