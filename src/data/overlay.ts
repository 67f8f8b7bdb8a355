/**
 * An image beside itself under a coarse grid of colours, as a PNG. Knows pixels, not what the colours mean.
 */
import type { ImageSource } from './image_source.ts';
import type { AlphaMode } from './rgb.ts';
import { thumbnailOf } from './thumbnail.ts';

/** Cells that cover the image. */
export interface ColourGrid {
  readonly rows: number;
  readonly columns: number;
  /** Red, green, blue and opacity, 0 to 255. [rows * columns * 4] */
  readonly rgba: Uint8Array;
}

/** Sides of each of the two pictures, at most and at least, in pixels. A small image is enlarged by a whole number. */
const SIDE = { most: 1024, least: 448 } as const;
const GAP = 16;

/** A PNG with one pixel for each cell. */
export async function gridPicture({ rows, columns, rgba }: ColourGrid): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  return sharp(rgba, { raw: { width: columns, height: rows, channels: 4 } })
    .png()
    .toBuffer();
}

/** Errors: those of `thumbnailOf`. */
export async function overlaid(source: ImageSource, grid: ColourGrid, alpha: AlphaMode): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  const { jpeg, width, height } = await thumbnailOf(source, SIDE.most, alpha);
  const scale = Math.max(1, Math.ceil(SIDE.least / Math.max(width, height)));
  const [w, h] = [width * scale, height * scale];
  const plain = await sharp(jpeg).resize(w, h, { kernel: 'nearest' }).png().toBuffer();
  const cells = await gridPicture(grid);
  const colours = await sharp(cells).resize(w, h, { kernel: 'nearest', fit: 'fill' }).png().toBuffer();
  return sharp({ create: { width: 2 * w + GAP, height: h, channels: 3, background: '#ffffff' } })
    .composite([
      { input: plain, left: 0, top: 0 },
      { input: plain, left: w + GAP, top: 0 },
      { input: colours, left: w + GAP, top: 0 },
    ])
    .png()
    .toBuffer();
}
