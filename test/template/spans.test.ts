import { expect, test } from 'vitest';
import { promptSpans } from '../../src/template/spans.ts';

test('system block, pictures, text', () => {
  const ids = Int32Array.of(1, 2, 3, 8, 90, 90, 9, 4, 8, 90, 9, 8, 91, 9, 5);
  const spans = promptSpans(ids, 3, { imageTokenId: 90, videoTokenId: 91 });
  expect([...spans.visual]).toEqual([4, 5, 9, 12]);
  expect([...spans.imageOf]).toEqual([0, 0, 1, 2]);
  expect([...spans.text]).toEqual([3, 6, 7, 8, 10, 11, 13, 14]);
});

test('no picture, no system block', () => {
  const spans = promptSpans(Int32Array.of(1, 2), 0, { imageTokenId: 90, videoTokenId: 91 });
  expect([...spans.visual]).toEqual([]);
  expect([...spans.text]).toEqual([0, 1]);
});
