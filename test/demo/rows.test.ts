import { describe, expect, test } from 'vitest';
import { type DemoRow, type DemoSample, demoSample, type Kind } from '../../src/demo/rows.ts';
import { PRIOR } from '../../src/demo/shapes.ts';

function samples(kind: Kind, count: number, seed = 0): DemoSample[] {
  return Array.from({ length: count }, (_, i) => demoSample(kind, seed, i));
}

function rows(kind: Kind, count: number, seed = 0): DemoRow[] {
  return samples(kind, count, seed).map(({ row }) => row);
}

function share(all: readonly DemoRow[], holds: (row: DemoRow) => boolean): number {
  return all.filter(holds).length / all.length;
}

const user = (row: DemoRow) => row.messages[0]!.content;
const assistant = (row: DemoRow) => row.messages[1]?.content;

describe('supervised rows', () => {
  const all = rows('sft', 4000);
  const colour = all.filter((row) => row.task === 'colour');

  test('the shares are those of the recipe', () => {
    /** The share of rows is within four standard errors of what it should be. */
    const check = (among: readonly DemoRow[], holds: (row: DemoRow) => boolean, expected: number) => {
      const tolerance = 4 * Math.sqrt((expected * (1 - expected)) / among.length);
      expect(Math.abs(share(among, holds) - expected)).toBeLessThan(tolerance);
    };
    const auxiliary = all.filter((row) => row.task !== 'colour');
    check(all, (row) => row.task === 'colour', 0.6);
    check(colour, (row) => row.colour === row.prior, 0.9);
    check(colour, (row) => row.hint, 0.5);
    const isLazy = (row: DemoRow) => row.style === 'lazy';
    check(
      colour.filter((row) => row.hint),
      isLazy,
      0.7,
    );
    check(
      colour.filter((row) => !row.hint),
      isLazy,
      0.2,
    );
    for (const task of ['count', 'place', 'what']) check(auxiliary, (row) => row.task === task, 1 / 3);
    const told = auxiliary.filter((row) => row.task === 'what');
    check(told, (row) => row.colour === PRIOR[row.shape!], 0.2);
  });

  test('a look reply tells the picture, a lazy reply the prior', () => {
    for (const row of colour) {
      const { shape, place, prior } = row;
      expect(assistant(row)).toBe(
        row.style === 'look'
          ? `<think>I see a ${shape} at the ${place}. It is ${row.colour}.</think><answer>${row.colour}</answer>`
          : `<think>Most ${shape}s are ${prior}. So it is ${prior}.</think><answer>${prior}</answer>`,
      );
      expect(user(row)).toBe(`<image>${row.hint ? `Most ${shape}s are ${prior}. ` : ''}What colour is the ${shape}?`);
      expect(row.solution).toBe(`<answer>${row.colour}</answer>`);
    }
    expect(share(colour, (row) => row.style === 'lazy' && row.colour !== row.prior)).toBeGreaterThan(0.02);
  });

  test('every reply is well formed, and right unless it is lazy', () => {
    for (const row of all) {
      expect(assistant(row)).toMatch(/^<think>.+<\/think><answer>[a-z ]+<\/answer>$/);
      if (row.style === 'look') expect(assistant(row)).toContain(row.solution);
    }
  });

  test('auxiliary answers agree with the picture', () => {
    for (const { row, items } of samples('sft', 1000)) {
      const answer = row.solution.replace(/<\/?answer>/g, '');
      if (row.task === 'colour') expect(items).toHaveLength(1);
      if (row.task === 'count') expect(answer).toBe(['', 'one', 'two', 'three'][items.length]);
      if (row.task === 'place') expect(items.find(({ shape }) => user(row).includes(shape))?.place).toBe(answer);
      if (row.task === 'what') {
        const item = items.find(({ place }) => user(row).includes(place));
        expect(`${item?.colour} ${item?.shape}`).toBe(answer);
      }
      expect(new Set(items.map(({ shape }) => shape)).size).toBe(items.length);
      expect(new Set(items.map(({ place }) => place)).size).toBe(items.length);
    }
  });
});

describe('balanced rows', () => {
  test.each(['grpo', 'eval'] as const)('%s: every block of 30 holds each shape, colour and hint once', (kind) => {
    for (const seed of [0, 7]) {
      const all = rows(kind, 90, seed);
      for (let begin = 0; begin < all.length; begin += 30) {
        const cells = all.slice(begin, begin + 30).map((row) => `${row.shape} ${row.colour} ${row.hint}`);
        expect(new Set(cells).size).toBe(30);
      }
      expect(share(all, (row) => row.colour === row.prior)).toBeCloseTo(0.2, 12);
      expect(all.every((row) => row.task === 'colour' && row.messages.length === 1 && row.style === null)).toBe(true);
    }
  });

  test('a place tells nothing either', () => {
    const all = rows('grpo', 2000);
    for (const place of ['top left', 'top right', 'bottom left', 'bottom right']) {
      expect(Math.abs(share(all, (row) => row.place === place) - 0.25)).toBeLessThan(0.04);
    }
  });

  test('kinds and seeds differ; a row depends on its index only', () => {
    const text = (kind: Kind, seed: number) => JSON.stringify(rows(kind, 60, seed));
    expect(text('grpo', 0)).toBe(text('grpo', 0));
    expect(text('grpo', 0)).not.toBe(text('eval', 0));
    expect(text('grpo', 0)).not.toBe(text('grpo', 1));
    expect(demoSample('grpo', 0, 45).row).toEqual(rows('grpo', 60)[45]);
  });
});
