import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import {
  gridOf,
  parseImageProcessorConfig,
  patchElements,
  readImageProcessorConfig,
  resizeToGrid,
  smartResize,
  writePatches,
} from '../../src/models/image_processing.ts';
import { type RgbImage, resizeBicubic } from '../../src/models/image_resize.ts';
import { refusal, shown } from '../checkpoint/scratch.ts';
import { expected } from '../checkpoint/variants.ts';

describe('smartResize', () => {
  const limits = { factor: 28, minPixels: 3136, maxPixels: 50176 };

  // Values of transformers' formula in Python: smart_resize(height, width, 28, 3136, 50176).
  test.each([
    [112, 140, 112, 140],
    [101, 157, 112, 168],
    [70, 70, 56, 56], // 2.5 rounds to 2, not 3
    [42, 98, 56, 112], // 1.5 rounds to 2, 3.5 to 4
    [30, 40, 56, 84],
    [220, 300, 168, 252],
    [1, 1, 56, 56],
    [10, 1500, 28, 700],
  ])('%i x %i', (height, width, wantedHeight, wantedWidth) => {
    expect(smartResize(height, width, limits)).toEqual({ height: wantedHeight, width: wantedWidth });
  });

  test('an aspect ratio above 200 is refused, 200 is not', () => {
    expect(smartResize(10, 2000, limits).height).toBe(28);
    expect(() => smartResize(1, 10000, limits, 'a.jsonl:7')).toThrow(
      expect.objectContaining({ code: 'E_IMAGE_ASPECT', where: 'a.jsonl:7' }),
    );
  });
});

describe('resizeBicubic', () => {
  const filled = (width: number, height: number, value: (x: number, y: number, c: number) => number): RgbImage => {
    const data = new Uint8Array(width * height * 3);
    for (let i = 0; i < data.length; i++) data[i] = value(Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3);
    return { width, height, data };
  };

  test('a flat picture stays flat at any size', async () => {
    const flat = filled(37, 23, (_x, _y, c) => [0, 128, 255][c]!);
    for (const [width, height] of [
      [28, 28],
      [112, 56],
      [5, 90],
    ] as const) {
      const { data } = await resizeBicubic(flat, width, height);
      expect(data.length).toBe(width * height * 3);
      expect(data.every((value, i) => value === [0, 128, 255][i % 3])).toBe(true);
    }
  });

  test('the same size is the same picture', async () => {
    const picture = filled(9, 7, (x, y, c) => (x * 31 + y * 17 + c * 5) % 256);
    expect((await resizeBicubic(picture, 9, 7)).data).toEqual(picture.data);
  });

  test('overshoot is clipped, not wrapped', async () => {
    const edge = filled(20, 4, (x) => (x < 10 ? 0 : 255));
    const row = [...(await resizeBicubic(edge, 60, 4)).data.subarray(0, 180)].filter((_, i) => i % 3 === 0);
    expect(row.slice(0, 20).every((v) => v <= 20)).toBe(true);
    expect(row.slice(40).every((v) => v >= 235)).toBe(true);
  });
});

describe('patch order', () => {
  test('rows go by merged block, columns by channel, time, y, x', async () => {
    const config = parseImageProcessorConfig({ image_mean: [0, 0, 0], image_std: [1, 1, 1] }, 'test');
    // 56 x 84 needs no resizing; a pixel's value names its patch (red), its row (green) and column (blue) in it.
    const [width, height] = [84, 56];
    const data = new Uint8Array(width * height * 3);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = (y * width + x) * 3;
        data[at] = Math.floor(y / 14) * 6 + Math.floor(x / 14);
        data[at + 1] = y % 14;
        data[at + 2] = x % 14;
      }
    }
    const resized = await resizeToGrid({ width, height, data }, config);
    const gridThw = gridOf(resized, config);
    const pixelValues = new Float32Array(patchElements(resized, config));
    writePatches(resized, config, pixelValues);
    expect(gridThw).toEqual([1, 4, 6]);
    expect(pixelValues.length).toBe(24 * 1176);
    const value = (row: number, channel: number, time: number, y: number, x: number): number =>
      Math.round(pixelValues[row * 1176 + ((channel * 2 + time) * 14 + y) * 14 + x]! * 255);
    const patches = Array.from({ length: 24 }, (_, row) => value(row, 0, 0, 3, 5));
    expect(patches).toEqual([0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, 12, 13, 18, 19, 14, 15, 20, 21, 16, 17, 22, 23]);
    for (const time of [0, 1]) expect([value(9, 1, time, 3, 5), value(9, 2, time, 3, 5)]).toEqual([3, 5]);
  });
});

describe('image processor files', () => {
  const folder = (files: Record<string, unknown>): string => {
    const dir = mkdtempSync(join(tmpdir(), 'processor-'));
    for (const [name, json] of Object.entries(files)) writeFileSync(join(dir, name), JSON.stringify(json));
    return dir;
  };

  test('limits: size, min_pixels and options, the last one wins', () => {
    const size = { shortest_edge: 3136, longest_edge: 50176 };
    const nested = folder({ 'processor_config.json': { image_processor: { size } } });
    expect(readImageProcessorConfig(nested)).toMatchObject({ minPixels: 3136, maxPixels: 50176 });
    const flat = folder({ 'preprocessor_config.json': { size, min_pixels: 784, max_pixels: 7840 } });
    expect(readImageProcessorConfig(flat)).toMatchObject({ minPixels: 784, maxPixels: 7840 });
    expect(readImageProcessorConfig(flat, { maxPixels: 1568 })).toMatchObject({ minPixels: 784, maxPixels: 1568 });
    expect(readImageProcessorConfig(folder({}))).toMatchObject({ minPixels: 3136, maxPixels: 1003520 });
  });

  test.each(expected.sizes.cases)('the grid that transformers gives for $fields', async ({ fields, grid }) => {
    const [width, height] = expected.sizes.image;
    const image: RgbImage = { width, height, data: new Uint8Array(3 * width * height) };
    const read = () => parseImageProcessorConfig(fields, 'preprocessor_config.json');
    if (grid !== null) expect(gridOf(await resizeToGrid(image, read()), read())).toEqual(grid);
    else {
      expect(shown(await refusal(read))).toMatch(
        /E_PROCESSOR_INVALID.*field size is .*, expected \{"shortest_edge": MIN.*preprocessor_config\.json.*remove it/,
      );
    }
  });

  test('a limit that a flag gives is told as that flag', () => {
    const limits = (given: object) => () => parseImageProcessorConfig({}, 'preprocessor_config.json', given);
    expect(limits({ maxPixels: 1e14 })).toThrow(expect.objectContaining({ where: '--max_pixels (MAX_PIXELS)' }));
    expect(limits({ maxPixels: 64_000_000 })).not.toThrow();
    const fromFile = () => parseImageProcessorConfig({ min_pixels: 1e14 }, 'file.json', { maxPixels: 1e6 });
    expect(fromFile).toThrow(expect.objectContaining({ where: 'file.json' }));
  });

  test.each<[Record<string, unknown>, string, ...string[]]>([
    [{ min_pixels: 100000, max_pixels: 784 }, 'E_PIXEL_LIMITS'],
    [{ max_pixels: 100, min_pixels: 1 }, 'E_PIXEL_LIMITS'],
    [{ min_pixels: 1e12, max_pixels: 1e14 }, 'E_PIXEL_LIMITS', 'min_pixels is 1000000000000', 'from 1 to 64000000'],
    [{ max_pixels: 1e14 }, 'E_PIXEL_LIMITS', 'max_pixels is 100000000000000', 'from 1 to 64000000'],
    [{ size: { shortest_edge: 3136, longest_edge: 1e14 } }, 'E_PIXEL_LIMITS', 'max_pixels'],
    [{ min_pixels: 1e7 }, 'E_PIXEL_LIMITS', 'min_pixels (10000000) is above max_pixels (1003520)'],
    [{ min_pixels: 'many' }, 'E_PROCESSOR_INVALID'],
    [{ image_mean: [1, 2] }, 'E_PROCESSOR_INVALID'],
    [{ image_std: [1, 0, 1] }, 'E_PROCESSOR_INVALID'],
    [{ image_mean: [0.5, 1e308, 0.5] }, 'E_PROCESSOR_INVALID', 'field image_mean', 'from -1000 to 1000'],
    [{ image_std: [1e-320, 1, 1] }, 'E_PROCESSOR_INVALID', 'field image_std', 'from 0.001 to 1000'],
    [{ image_std: [1, 1, -1] }, 'E_PROCESSOR_INVALID', 'field image_std', 'from 0.001 to 1000'],
    [{ rescale_factor: 1e300 }, 'E_PROCESSOR_INVALID', 'field rescale_factor', '1e+300', 'from 0.000001 to 1'],
    [{ rescale_factor: 1e-300 }, 'E_PROCESSOR_INVALID', 'field rescale_factor', '1e-300'],
    [{ resample: 2 }, 'E_PROCESSOR_UNSUPPORTED'],
    [{ do_normalize: false }, 'E_PROCESSOR_UNSUPPORTED'],
  ])('%j -> %s', (json, code, ...parts) => {
    let thrown: unknown;
    try {
      parseImageProcessorConfig(json, 'preprocessor_config.json');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(SightlineError);
    expect(thrown).toMatchObject({ code });
    for (const part of parts) expect(thrown).toMatchObject({ message: expect.stringContaining(part) });
  });
});
