import { expect, test } from 'vitest';
import { findEnds, stopsFor } from './draws.ts';

test('stop ids by which completions end at as many lengths as they can', () => {
  const drawn = [
    [1, 2, 3, 9],
    [4, 3, 2, 9],
    [5, 6, 7, 9],
  ];
  const stops = stopsFor(drawn, 3)!;
  const ends = drawn.map((ids) => ids.findIndex((id) => stops.includes(id)));
  expect(new Set(ends).size).toBe(3);
});

test.each([
  [
    [
      [1, 2],
      [1, 2],
    ],
  ],
  [[[1], [2]]],
  [[]],
])('none where completions are all the same, or of one token: %j', (drawn) => {
  expect(stopsFor(drawn, 2)).toBeNull();
});

test('a temperature at which completions differ', async () => {
  const draw = async (temperature: number) =>
    temperature < 2
      ? [
          [1, 1],
          [1, 1],
        ]
      : [
          [1, 2],
          [2, 2],
        ];
  const { temperature, stopIds } = await findEnds(2, draw);
  expect(temperature).toBeGreaterThan(2);
  expect(stopIds).toHaveLength(1);
  await expect(findEnds(3, draw)).rejects.toThrow('no stop ids end these completions at 3 lengths');
});
