/**
 * The limits of a run in the files of the checkpoints it saves, in the places where the source has its own.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writePixelLimits } from '../../src/checkpoint/model_files.ts';
import { readImageProcessorConfig } from '../../src/models/image_processing.ts';
import { scratch } from './scratch.ts';

const FLAT = 'preprocessor_config.json';
const NESTED = 'processor_config.json';

function folder(files: Readonly<Record<string, unknown>>): string {
  const dir = scratch();
  for (const [name, value] of Object.entries(files)) writeFileSync(join(dir, name), JSON.stringify(value));
  return dir;
}

const readJson = (dir: string, name: string): unknown => JSON.parse(readFileSync(join(dir, name), 'utf8'));

describe('limits go where the file has its own', () => {
  const limits = { minPixels: 784, maxPixels: 6272 };
  const rest = { patch_size: 14, image_processor_type: 'Qwen2VLImageProcessor' };
  const edges = { shortest_edge: 784, longest_edge: 6272 };
  const cases = [
    [
      'min_pixels and max_pixels',
      FLAT,
      { min_pixels: 1, max_pixels: 2, ...rest },
      { min_pixels: 784, max_pixels: 6272, ...rest },
    ],
    ['size', FLAT, { size: { shortest_edge: 1, longest_edge: 2 }, ...rest }, { size: edges, ...rest }],
    [
      'both',
      FLAT,
      { min_pixels: 1, max_pixels: 2, size: { shortest_edge: 1, longest_edge: 2 }, ...rest },
      { min_pixels: 784, max_pixels: 6272, size: edges, ...rest },
    ],
    [
      'a null beside size',
      FLAT,
      { min_pixels: null, max_pixels: null, size: { shortest_edge: 1, longest_edge: 2 } },
      { min_pixels: null, max_pixels: null, size: edges },
    ],
    [
      'the image processor of processor_config.json',
      NESTED,
      { image_processor: { size: { shortest_edge: 1, longest_edge: 2 }, ...rest }, processor_class: 'P' },
      { image_processor: { size: edges, ...rest }, processor_class: 'P' },
    ],
    ['neither', FLAT, rest, { ...rest, min_pixels: 784, max_pixels: 6272 }],
  ] as const;
  test.each(cases)('%s', async (_, name, before, after) => {
    const dir = folder({ [name]: before });
    await writePixelLimits(dir, limits);
    expect(readJson(dir, name)).toEqual(after);
    expect(readImageProcessorConfig(dir)).toMatchObject(limits);
  });
});

test('both files are changed, so that every version of transformers reads the same', async () => {
  const dir = folder({
    [FLAT]: { min_pixels: 3136, max_pixels: 50176 },
    [NESTED]: { image_processor: { size: { shortest_edge: 3136, longest_edge: 50176 } } },
  });
  await writePixelLimits(dir, { maxPixels: 6272 });
  expect(readJson(dir, FLAT)).toEqual({ min_pixels: 3136, max_pixels: 6272 });
  expect(readJson(dir, NESTED)).toEqual({ image_processor: { size: { shortest_edge: 3136, longest_edge: 6272 } } });
});

test('a folder without settings gets some, and no limits leave every file as it is', async () => {
  const dir = folder({});
  await writePixelLimits(dir, {});
  expect(existsSync(join(dir, FLAT))).toBe(false);
  await writePixelLimits(dir, { maxPixels: 6272 });
  expect(readImageProcessorConfig(dir)).toMatchObject({ minPixels: 3136, maxPixels: 6272 });
  const text = '{"min_pixels":   3136}';
  writeFileSync(join(dir, FLAT), text);
  await writePixelLimits(dir, {});
  expect(readFileSync(join(dir, FLAT), 'utf8')).toBe(text);
});
