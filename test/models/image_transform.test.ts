/** Changed pixels: the blur against torch, the blackout by its patches and its share. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { transformPixels } from '../../src/models/image_transform.ts';
import { createRandom } from '../../src/util/random.ts';

interface Blur {
  readonly sigma: number;
  readonly width: number;
  readonly height: number;
  readonly pixels: readonly number[];
  readonly blurred: readonly number[];
}
const { blurs } = JSON.parse(readFileSync(new URL('../grpo/perception.json', import.meta.url), 'utf8')) as {
  blurs: readonly Blur[];
};
const random = () => createRandom('image');

describe('blur', () => {
  test.each(blurs)('sigma $sigma', ({ sigma, width, height, pixels, blurred }) => {
    const image = { width, height, data: Uint8Array.from(pixels) };
    const { data } = transformPixels(image, { kind: 'blur', sigma }, 2, random());
    // The reference is not rounded to 8 bits.
    expect(Math.max(...blurred.map((value, i) => Math.abs(value - data[i]!)))).toBeLessThanOrEqual(0.5 + 1e-9);
    expect([...image.data]).toEqual(pixels);
  });
});

describe('blackout', () => {
  const side = 4;
  const image = { width: 200, height: 120, data: new Uint8Array(200 * 120 * 3).fill(7) };
  const patchesOf = (data: Uint8Array): number[][] =>
    Array.from({ length: (200 * 120) / side ** 2 }, (_, p) => {
      const [top, left] = [Math.floor(p / 50) * side, (p % 50) * side];
      const inside = Array.from(
        { length: side ** 2 },
        (_, i) => 3 * ((top + Math.floor(i / side)) * 200 + left + (i % side)),
      );
      return inside.flatMap((at) => [...data.subarray(at, at + 3)]);
    });

  test('whole patches are black, and as many as the ratio says', () => {
    const patches = patchesOf(transformPixels(image, { kind: 'blackout', ratio: 0.6 }, side, random()).data);
    const black = patches.filter((patch) => patch.every((value) => value === 0)).length;
    expect(patches.filter((patch) => patch.every((value) => value === 7)).length).toBe(patches.length - black);
    // 1500 patches: 5 standard deviations are 5 sqrt(0.24 / 1500).
    expect(Math.abs(black / patches.length - 0.6)).toBeLessThan(5 * Math.sqrt(0.24 / 1500));
  });

  test('ratio 1 blacks out everything; equal streams give equal masks, others do not', () => {
    const of = (seed: string, ratio: number) =>
      transformPixels(image, { kind: 'blackout', ratio }, side, createRandom(seed)).data;
    expect(of('a', 1).every((value) => value === 0)).toBe(true);
    expect(of('a', 0.5)).toEqual(of('a', 0.5));
    expect(of('a', 0.5)).not.toEqual(of('b', 0.5));
  });
});
