/**
 * Finds the first frame of a GIF: its position on the canvas, and the background colour.
 * Knows blocks (GIF89a specification), not pixels.
 */

type Colour = readonly [red: number, green: number, blue: number];

export interface GifFrame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Whether one colour of the palette is transparent. */
  readonly hasTransparency: boolean;
  /** The colour that PIL fills the canvas with: the transparent one if there is one, else colour 0. */
  readonly ground: Colour;
}

/** The first frame; null if `bytes` end before it. */
export function readGifFrame(bytes: Uint8Array): GifFrame | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 13) return null;
  const globalPalette = paletteAt(view, 13, view.getUint8(10));
  let transparent: number | null = null;
  for (let at = globalPalette.end; at + 10 <= view.byteLength; ) {
    const introducer = view.getUint8(at);
    if (introducer === IMAGE) {
      const localPalette = paletteAt(view, at + 10, view.getUint8(at + 9));
      const palette = localPalette.length > 0 ? localPalette : globalPalette;
      return {
        left: view.getUint16(at + 1, true),
        top: view.getUint16(at + 3, true),
        width: view.getUint16(at + 5, true),
        height: view.getUint16(at + 7, true),
        hasTransparency: transparent !== null,
        ground: palette.colour(transparent ?? 0),
      };
    }
    if (introducer !== EXTENSION) return null;
    if (view.getUint8(at + 1) === GRAPHIC_CONTROL && (view.getUint8(at + 3) & 1) === 1)
      transparent = view.getUint8(at + 6);
    at += 2;
    while (at < view.byteLength && view.getUint8(at) !== 0) at += 1 + view.getUint8(at);
    at += 1;
  }
  return null;
}

// --- internal ---

const IMAGE = 0x2c;
const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;

interface Palette {
  /** Number of colours; 0 if there is no palette. */
  readonly length: number;
  /** Byte position after the palette. */
  readonly end: number;
  /** Without a palette, an index is a shade of grey. */
  colour(index: number): Colour;
}

function paletteAt(view: DataView, start: number, flags: number): Palette {
  const length = (flags & 0x80) === 0 ? 0 : 2 << (flags & 7);
  return {
    length,
    end: start + 3 * length,
    colour(index) {
      if (length === 0) return [index, index, index];
      const at = start + 3 * index;
      if (index >= length || at + 3 > view.byteLength) return [0, 0, 0];
      return [view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2)];
    },
  };
}
