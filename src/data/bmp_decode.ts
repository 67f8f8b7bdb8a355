/**
 * Decodes a BMP to the pixels that PIL reads. libnsbmp, as WebAssembly, does the decoding; its differences from PIL are
 * corrected here.
 */
import { type BmpHeader, readBmpHeader } from './bmp_header.ts';

export interface BmpPixels {
  readonly width: number;
  readonly height: number;
  /** RGBA: [pixels, 4]. */
  readonly data: Uint8Array;
}

/** Throws a plain Error if the pixels cannot be decoded. */
export async function decodeBmp(bytes: Uint8Array): Promise<BmpPixels> {
  const header = readBmpHeader(bytes);
  if (header === 'cut off') throw new Error('the file ends within its header');
  const { decode } = await import('@cwasm/nsbmp');
  const { width, height, data } = decode(header.isRunLength ? withoutLastLineEnd(bytes, header) : bytes);
  const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (header.isRunLength) fillGaps(pixels, header);
  if (header.bitsPerPixel === 16) widenColours(pixels, header);
  if (!header.hasAlpha) for (let at = 3; at < pixels.length; at += 4) pixels[at] = 255;
  return { width, height, data: pixels };
}

// --- internal ---

/**
 * Many programs write an end-of-line code (0, 0) before the end-of-bitmap code (0, 1). libnsbmp counts that as one line too
 * many, so the former is overwritten with the latter.
 */
function withoutLastLineEnd(bytes: Uint8Array, { dataOffset }: BmpHeader): Uint8Array {
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).lastIndexOf(LINE_AND_PICTURE_END);
  if (at < dataOffset || bytes.length - at > LINE_AND_PICTURE_END.length + LONGEST_PADDING) return bytes;
  const copy = Uint8Array.from(bytes);
  copy[at + 1] = 1;
  return copy;
}

const LINE_AND_PICTURE_END = Buffer.from([0, 0, 0, 1]);
/** Bytes that may follow the end-of-bitmap code. */
const LONGEST_PADDING = 4;

/** Fills pixels that the run-length codes skip. PIL gives them colour 0; libnsbmp leaves them transparent. */
function fillGaps(pixels: Uint8Array, { firstColour }: BmpHeader): void {
  for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3] === 0) pixels.set(firstColour, at);
}

/** PIL scales the 5 or 6 bits of a colour to 0 to 255 (src/libImaging/Unpack.c); libnsbmp leaves the low bits at 0. */
function widenColours(pixels: Uint8Array, { greenBits }: BmpHeader): void {
  const five = Uint8Array.from({ length: 32 }, (_, value) => Math.floor((value * 255) / 31));
  const six = Uint8Array.from({ length: 64 }, (_, value) => Math.floor((value * 255) / 63));
  for (let at = 0; at < pixels.length; at += 4) {
    pixels[at] = five[pixels[at]! >> 3]!;
    pixels[at + 1] = greenBits === 6 ? six[pixels[at + 1]! >> 2]! : five[pixels[at + 1]! >> 3]!;
    pixels[at + 2] = five[pixels[at + 2]! >> 3]!;
  }
}
