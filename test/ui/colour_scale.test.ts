/**
 * Numbers of tokens as colours: which numbers have which ends, and what has no colour.
 */
import { describe, expect, test } from 'vitest';
import { CHANNELS, channelOf } from '../../src/attention_log/channels.ts';
import { viridis } from '../../src/util/viridis.ts';
import { colourOf, gradientOf, scaleOf } from '../../ui/colour_scale.ts';

const { NaN: none, POSITIVE_INFINITY: infinite } = Number;

describe('a scale', () => {
  test('spans the finite numbers', () => {
    expect(scaleOf([0.5, none, 2, infinite, 1], false)).toEqual({ isSigned: false, low: 0.5, high: 2 });
    expect(scaleOf([none, infinite], false)).toBeNull();
    expect(scaleOf([], true)).toBeNull();
  });

  test.each([
    [[-0.25, 1], 1],
    [[-3, 1], 3],
    [[0.5], 0.5],
    [[-0.5], 0.5],
  ])('of signed numbers %j goes equally far to both sides', (values, size) => {
    expect(scaleOf(values, true)).toEqual({ isSigned: true, low: -size, high: size });
  });

  test('of nothing but 0 has no length', () => {
    expect(scaleOf([0, 0], true)).toEqual({ isSigned: true, low: 0, high: 0 });
  });
});

describe('a colour', () => {
  const rgb = (share: number): string => `rgb(${viridis(share).join(' ')})`;

  test('is that of viridis, with a number beyond the ends at the end', () => {
    const scale = { isSigned: false, low: 1, high: 3 };
    expect([1, 2, 3, infinite].map((value) => colourOf(scale, value).background)).toEqual([0, 0.5, 1, 1].map(rgb));
    expect([colourOf(scale, 1).color, colourOf(scale, 3).color]).toEqual(['#fff', '#000']);
  });

  test('of a signed number has the hue of its side and grows with its size', () => {
    const scale = { isSigned: true, low: -2, high: 2 };
    const mix = (side: string, percent: string) => `color-mix(in srgb, var(${side}) ${percent}%, var(--ground))`;
    expect([-2, -1, 0, 0.5].map((value) => colourOf(scale, value).background)).toEqual([
      mix('--below', '60.0'),
      mix('--below', '30.0'),
      mix('--above', '0.0'),
      mix('--above', '15.0'),
    ]);
    expect(gradientOf(scale)).toContain('var(--below) 60%');
  });

  test('is not given to an unknown number, nor where all are the same', () => {
    expect(colourOf({ isSigned: false, low: 1, high: 3 }, none)).toEqual({});
    expect(colourOf({ isSigned: false, low: 1, high: 1 }, 1)).toEqual({});
  });
});

test('channels that are not in the list are signed if they have a negative number', () => {
  expect(CHANNELS.map(({ name }) => name)).toContain('entropy');
  expect(channelOf('advantage', [1]).isSigned).toBe(true);
  expect(channelOf('mine', [none, 0, 1])).toEqual({ name: 'mine', meaning: '', unit: '', isSigned: false });
  expect(channelOf('mine', [none, -1]).isSigned).toBe(true);
});
