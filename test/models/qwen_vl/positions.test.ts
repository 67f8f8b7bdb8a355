import { describe, expect, test } from 'vitest';
import { visualTokens } from '../../../src/models/image_processing.ts';
import { ropeIndex } from '../../../src/models/qwen_vl/positions.ts';

const config = { imageTokenId: 90, videoTokenId: 91, vision: { spatialMergeSize: 2 } };
const I = 90;

describe('ropeIndex', () => {
  test('text alone counts up on all axes', () => {
    const { positions, delta } = ropeIndex(Int32Array.of(1, 2, 3), [], config);
    expect([...positions]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect(delta).toBe(0);
  });

  test('an image of 2 x 3 tokens between text', () => {
    const { positions, delta } = ropeIndex(Int32Array.of(1, 2, I, I, I, I, I, I, 3, 4), [[1, 4, 6]], config);
    expect([...positions.subarray(0, 10)]).toEqual([0, 1, 2, 2, 2, 2, 2, 2, 5, 6]);
    expect([...positions.subarray(10, 20)]).toEqual([0, 1, 2, 2, 2, 3, 3, 3, 5, 6]);
    expect([...positions.subarray(20, 30)]).toEqual([0, 1, 2, 3, 4, 2, 3, 4, 5, 6]);
    expect(delta).toBe(7 - 10);
  });

  test('two adjacent images are told apart by their grids', () => {
    const { positions } = ropeIndex(
      Int32Array.of(I, I, I, 5),
      [
        [1, 2, 2],
        [1, 2, 4],
      ],
      config,
    );
    expect([...positions.subarray(8, 12)]).toEqual([0, 1, 2, 3]);
  });

  test.each([
    ['a pad without an image', [1, I], []],
    ['too few pads', [1, I, 2], [[1, 4, 4]]],
    ['an image without pads', [1, 2], [[1, 2, 2]]],
    ['a grid that cannot be merged', [I], [[1, 3, 2]]],
    ['a grid over time', [I, I], [[2, 2, 2]]],
  ] as const)('%s is an error', (_name, ids, grids) => {
    expect(() => ropeIndex(Int32Array.from(ids), grids, config)).toThrow(
      expect.objectContaining({ code: 'E_IMAGE_TOKENS' }),
    );
  });

  test('video pads are refused', () => {
    expect(() => ropeIndex(Int32Array.of(1, 91), [], config)).toThrow(
      expect.objectContaining({ code: 'E_VIDEO_UNSUPPORTED' }),
    );
  });
});

test('visualTokens', () => {
  expect(visualTokens([1, 8, 10], 2)).toBe(20);
});
