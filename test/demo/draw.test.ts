import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { drawItems, encodePng, IMAGE_SIZE } from '../../src/demo/draw.ts';
import { COLOURS, type Item, PLACES, SHAPES } from '../../src/demo/shapes.ts';
import { createRandom } from '../../src/util/random.ts';

const HALF = IMAGE_SIZE / 2;

/** Mean colour of a square of side 2 * half + 1 around a point. */
function meanAround(rgb: Uint8Array, x: number, y: number, half: number): number[] {
  const sums = [0, 0, 0];
  for (let dy = -half; dy <= half; dy++) {
    for (let dx = -half; dx <= half; dx++) {
      for (let c = 0; c < 3; c++) sums[c]! += rgb[((y + dy) * IMAGE_SIZE + x + dx) * 3 + c]!;
    }
  }
  return sums.map((sum) => sum / (2 * half + 1) ** 2);
}

function nearestColour(rgb: readonly number[]): string {
  const reference = {
    red: [220, 40, 40],
    green: [40, 170, 60],
    blue: [50, 80, 220],
    yellow: [235, 205, 40],
    purple: [150, 50, 180],
  };
  const distance = (a: readonly number[]) => Math.hypot(...a.map((v, i) => v - rgb[i]!));
  return Object.entries(reference).sort((a, b) => distance(a[1]) - distance(b[1]))[0]![0];
}

const everyItem: Item[] = SHAPES.flatMap((shape) =>
  COLOURS.flatMap((colour) => PLACES.map((place) => ({ shape, colour, place }))),
);

describe('drawItems', () => {
  test('puts every shape in its quadrant, in its colour, on grey', () => {
    for (const [i, item] of everyItem.entries()) {
      const rgb = drawItems(createRandom(i), [item]);
      for (const [quadrant, place] of PLACES.entries()) {
        const x = (quadrant % 2) * HALF + HALF / 2;
        const y = Math.floor(quadrant / 2) * HALF + HALF / 2;
        const mean = meanAround(rgb, x, y, 3);
        if (place === item.place) expect(nearestColour(mean), JSON.stringify(item)).toBe(item.colour);
        else expect(Math.max(...mean) - Math.min(...mean), JSON.stringify({ item, place })).toBeLessThan(12);
      }
    }
  });

  test('the shapes differ: a square fills its corners, a triangle only the lower ones, a circle none', () => {
    const corners = (shape: Item['shape']) => {
      const counts = { upper: 0, lower: 0 };
      for (let seed = 0; seed < 50; seed++) {
        const rgb = drawItems(createRandom(seed), [{ shape, colour: 'red', place: 'top left' }]);
        const coloured = (x: number, y: number) => {
          const [r, g] = meanAround(rgb, x, y, 0);
          return r! - g! > 80;
        };
        // 13 px from the quadrant's centre: inside the smallest square (radius 17, jitter 3).
        if (coloured(28 - 13, 28 - 13) && coloured(28 + 13, 28 - 13)) counts.upper++;
        if (coloured(28 - 10, 28 + 13) && coloured(28 + 10, 28 + 13)) counts.lower++;
      }
      return counts;
    };
    expect(corners('square')).toEqual({ upper: 50, lower: 50 });
    expect(corners('triangle').upper).toBe(0);
    expect(corners('triangle').lower).toBeGreaterThan(30);
    expect(corners('circle').upper).toBeLessThan(50);
  });

  test('equal streams give equal bytes, other streams others', () => {
    const [item] = everyItem;
    expect(drawItems(createRandom(1), [item!])).toEqual(drawItems(createRandom(1), [item!]));
    expect(drawItems(createRandom(1), [item!])).not.toEqual(drawItems(createRandom(2), [item!]));
  });
});

test('encodePng keeps every pixel', async () => {
  const rgb = drawItems(createRandom(3), [{ shape: 'circle', colour: 'blue', place: 'bottom right' }]);
  const { data, info } = await sharp(await encodePng(rgb))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels]).toEqual([112, 112, 3]);
  expect(new Uint8Array(data)).toEqual(rgb);
});
