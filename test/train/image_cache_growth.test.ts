import { expect, test } from 'vitest';
import { growthOfImages } from '../../src/train/image_cache_growth.ts';

const vision = {
  depth: 1,
  hiddenSize: 8,
  intermediateSize: 8,
  numHeads: 1,
  inChannels: 3,
  outHiddenSize: 32,
  patchSize: 14,
  spatialMergeSize: 2,
  temporalPatchSize: 2,
  windowSize: 56,
  fullattBlockIndexes: [],
  tokensPerSecond: 2,
};

test('images grow to what the rows have, or to the budgets', () => {
  const images = { rows: 10, patches: 160 }; // 16 patches a row: 9408 bytes of pixels, 4 visual tokens of 128 bytes
  const features = [{ bytes: 512, budget: 1e9 }];
  expect(growthOfImages(images, { rows: 100, pixelBudget: 0, forms: 1, features }, vision)).toBe(100 * 512 - 512);
  expect(growthOfImages(images, { rows: 100, pixelBudget: 1e9, forms: 1, features }, vision)).toBe(
    100 * (9408 + 512) - 512,
  );
  expect(growthOfImages(images, { rows: 100, pixelBudget: 5000, forms: 1, features }, vision)).toBe(
    5000 + 100 * 512 - 512,
  );
  expect(growthOfImages(images, { rows: 100, pixelBudget: 1e9, forms: 2, features }, vision)).toBe(
    100 * (9408 + 2 * 512) - 512,
  );
  const full = [
    { bytes: 2048, budget: 2048 },
    { bytes: 0, budget: 4096 },
  ];
  expect(growthOfImages(images, { rows: 100, pixelBudget: 0, forms: 1, features: full }, vision)).toBe(4096);
});
