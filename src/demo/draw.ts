/**
 * Draws items as raw RGB and PNG: a noisy grey background with at most one filled shape per quadrant.
 * Knows pixels and randomness, not questions or files.
 */
import sharp from 'sharp';
import type { Random } from '../util/random.ts';
import { type Colour, type Item, PLACES, type Shape } from './shapes.ts';

/** Side of the square image in pixels: 8 x 8 patches of 14, so 4 x 4 = 16 visual tokens after the 2 x 2 merge. */
export const IMAGE_SIZE = 112;
const QUADRANT = IMAGE_SIZE / 2;

const BACKGROUND = [150, 225] as const;
const RADIUS = [17, 24] as const;
const CENTRE_JITTER = 3;
const COLOUR_JITTER = 20;
const NOISE = 14;

const RGB: Readonly<Record<Colour, readonly [number, number, number]>> = {
  red: [220, 40, 40],
  green: [40, 170, 60],
  blue: [50, 80, 220],
  yellow: [235, 205, 40],
  purple: [150, 50, 180],
};

/** Whether the point at (dx, dy) from the centre, with y pointing down, lies in the shape of the given radius. */
const CONTAINS: Readonly<Record<Shape, (dx: number, dy: number, radius: number) => boolean>> = {
  circle: (dx, dy, radius) => dx * dx + dy * dy <= radius * radius,
  square: (dx, dy, radius) => Math.abs(dx) <= radius && Math.abs(dy) <= radius,
  // Apex at the top; at height dy the half-width grows from 0 (dy = -radius) to radius (dy = radius).
  triangle: (dx, dy, radius) => Math.abs(dy) <= radius && 2 * Math.abs(dx) <= dy + radius,
};

/** Raw RGB of the items, [112, 112, 3] in row-major order. Equal random streams give equal bytes. */
export function drawItems(random: Random, items: readonly Item[]): Uint8Array {
  const grey = between(random, ...BACKGROUND);
  const pixels = new Float32Array(IMAGE_SIZE * IMAGE_SIZE * 3).fill(grey);
  for (const item of items) fillItem(random, pixels, item);
  const bytes = new Uint8Array(pixels.length);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Math.min(255, Math.max(0, pixels[i]! + between(random, -NOISE, NOISE)));
  }
  return bytes;
}

/** Encodes the raw RGB of `drawItems` as PNG. */
export function encodePng(rgb: Uint8Array): Promise<Buffer> {
  return sharp(rgb, { raw: { width: IMAGE_SIZE, height: IMAGE_SIZE, channels: 3 } })
    .png({ compressionLevel: 3 })
    .toBuffer();
}

// --- internal ---

function fillItem(random: Random, pixels: Float32Array, item: Item): void {
  const quadrant = PLACES.indexOf(item.place);
  const centreX = (quadrant % 2) * QUADRANT + QUADRANT / 2 + between(random, -CENTRE_JITTER, CENTRE_JITTER);
  const centreY = Math.floor(quadrant / 2) * QUADRANT + QUADRANT / 2 + between(random, -CENTRE_JITTER, CENTRE_JITTER);
  const radius = between(random, ...RADIUS);
  const rgb = RGB[item.colour].map((c) => c + between(random, -COLOUR_JITTER, COLOUR_JITTER));
  const contains = CONTAINS[item.shape];
  for (let y = centreY - radius; y <= centreY + radius; y++) {
    for (let x = centreX - radius; x <= centreX + radius; x++) {
      if (contains(x - centreX, y - centreY, radius)) pixels.set(rgb, (y * IMAGE_SIZE + x) * 3);
    }
  }
}

/** A uniform integer in [low, high]. */
function between(random: Random, low: number, high: number): number {
  return low + random.int(high - low + 1);
}
