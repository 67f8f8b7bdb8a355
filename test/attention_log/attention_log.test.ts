/**
 * The attention of logged completions: written and read back, within its limit, and hostile indices refused.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AttentionIndex,
  indexName,
  readIndex,
  stepOfName,
  valueCount,
  valuesName,
} from '../../src/attention_log/format.ts';
import { type CompletionAttention, createAttentionLog } from '../../src/attention_log/writer.ts';
import { widen } from '../../src/checkpoint/dtypes.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder();

function made(row: number, tokens: number, layers: number, grids: CompletionAttention['grids']): CompletionAttention {
  const places = grids.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  return {
    row,
    tokens: Array.from({ length: tokens }, (_, t) => `token ${t} of ${row}\n"\u{1f600}`),
    grids,
    weights: Float32Array.from({ length: tokens * layers * places }, (_, i) => (i + 1) / 4096 + row),
    channels: {
      visual_share: Float32Array.from({ length: tokens }, (_, t) => t / 8),
      entropy: Float32Array.from({ length: tokens }, (_, t) => (t === 0 ? Number.NaN : t)),
    },
  };
}

function read(place: string, step: number): { index: AttentionIndex; values: (row: number) => number[] } {
  const bytes = readFileSync(join(place, valuesName(step)));
  const index = readIndex(readFileSync(join(place, indexName(step)), 'utf8'), bytes.length);
  if (typeof index === 'string') throw new Error(index);
  return {
    index,
    values(row) {
      const entry = index.completions.find((each) => each.row === row)!;
      const count = valueCount(index.layers.length, entry);
      const words = new Uint16Array(Uint8Array.from(bytes.subarray(entry.offset, entry.offset + 2 * count)).buffer);
      const target = new Float32Array(count);
      widen('F16', words, target);
      return [...target];
    },
  };
}

const stepsOf = (place: string): number[] =>
  readdirSync(place)
    .map(stepOfName)
    .filter((step) => step !== null)
    .sort((a, b) => a - b);

const sizeOf = (place: string): number =>
  readdirSync(place).reduce((sum, name) => sum + statSync(join(place, name)).size, 0);

test('what is written is read back, each value to half precision', () => {
  const place = join(folder, 'back');
  const completions = [
    made(0, 3, 2, [[2, 3]]),
    made(5, 2, 2, [
      [1, 2],
      [3, 1],
    ]),
    made(6, 4, 2, []),
  ];
  expect(createAttentionLog(place, 2 ** 20).write(7, [20, 23], completions)).toBe(3);
  const { index, values } = read(place, 7);
  expect([index.step, index.layers]).toEqual([7, [20, 23]]);
  for (const [i, { row, tokens, grids, weights, channels }] of completions.entries()) {
    expect(index.completions[i]).toMatchObject({ row, tokens, grids, channels: ['visual_share', 'entropy'] });
    const expected = [...weights, ...channels.visual_share!, ...channels.entropy!];
    const found = values(row);
    expect(found).toHaveLength(expected.length);
    for (const [k, value] of expected.entries()) {
      if (Number.isNaN(value)) expect(found[k]).toBeNaN();
      // Half precision has 11 significant bits; rounding is off by half of the last one at most.
      else expect(Math.abs(found[k]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -11);
    }
  }
});

describe('the limit', () => {
  const one = [made(0, 8, 2, [[4, 4]])];
  const size = (() => {
    const place = join(folder, 'one');
    createAttentionLog(place, 2 ** 20).write(100, [0, 1], one);
    return sizeOf(place);
  })();

  test('holds, and what remains covers the whole run evenly', () => {
    const place = join(folder, 'limited');
    const log = createAttentionLog(place, 10 * size);
    for (let step = 100; step < 200; step++) {
      log.write(step, [0, 1], one);
      expect(sizeOf(place)).toBeLessThanOrEqual(10 * size);
    }
    const steps = stepsOf(place);
    const gaps = new Set(steps.slice(1).map((step, i) => step - steps[i]!));
    expect([...gaps]).toEqual([16]);
    expect([steps[0], steps.at(-1)]).toEqual([100, 196]);
  });

  test('counts what an earlier process has written', () => {
    const place = join(folder, 'resumed');
    for (let step = 100; step < 130; step++) {
      createAttentionLog(place, 10 * size).write(step, [0, 1], one);
      expect(sizeOf(place)).toBeLessThanOrEqual(10 * size);
    }
    expect(stepsOf(place)[0]).toBe(100);
  });

  test('leaves out completions that do not fit, and a step of which none fits', () => {
    const place = join(folder, 'narrow');
    const three = [0, 1, 2].map((row) => made(row, 8, 2, [[4, 4]]));
    expect(createAttentionLog(place, 2.5 * size).write(1, [0, 1], three)).toBe(2);
    expect(read(place, 1).index.completions.map(({ row }) => row)).toEqual([0, 1]);
    const empty = join(folder, 'empty');
    expect(createAttentionLog(empty, size / 2).write(1, [0, 1], three)).toBe(0);
    expect(existsSync(empty)).toBe(false);
  });
});

describe('an index', () => {
  const entry = { row: 0, tokens: ['a', 'b'], grids: [[2, 2]], channels: ['entropy'], offset: 0 };
  const good = { format: 1, step: 3, layers: [1], completions: [entry] };
  const size = 2 * 2 * (4 + 1);

  test('is read if its numbers are in the file', () => {
    expect(readIndex(JSON.stringify(good), size)).toEqual({ step: 3, layers: [1], completions: [entry] });
  });

  test.each([
    ['cut', '{"format":1,"st', 'is not JSON'],
    ['no object', '[1]', 'is not in format 1'],
    ['of a later format', JSON.stringify({ ...good, format: 2 }), 'is not in format 1'],
    ['without a step', JSON.stringify({ ...good, step: -1 }), 'has no step'],
    ['with odd layers', JSON.stringify({ ...good, layers: [0.5] }), 'has no layers'],
    ['without completions', JSON.stringify({ ...good, completions: {} }), 'has no completions'],
    ...(
      [
        [{ row: '0' }, 'has no row'],
        [{ tokens: [1] }, 'has no tokens'],
        [{ grids: [[0, 4]] }, 'has no grids'],
        [{ grids: [[1e9, 1e9]] }, 'has no grids'],
        [{ channels: null }, 'has no channels'],
        [{ offset: 1 }, 'has no offset'],
        [{ offset: 2 }, 'ends at byte 22 of 20'],
      ] as [object, string][]
    ).map(([change, reason]) => [
      JSON.stringify(change),
      JSON.stringify({ ...good, completions: [{ ...entry, ...change }] }),
      `has completion 0 that ${reason}`,
    ]),
  ])('is refused if it is %s', (_, text, reason) => {
    expect(readIndex(text, size)).toBe(reason);
  });

  test('of any damage is refused or within the file', () => {
    const text = JSON.stringify(good);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (at, put) => {
        const index = readIndex(text.slice(0, at) + put + text.slice(at + 1), size);
        if (typeof index === 'string') return;
        for (const each of index.completions) {
          expect(each.offset + 2 * valueCount(index.layers.length, each)).toBeLessThanOrEqual(size);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('has a name from which its step is read, and no other file does', () => {
    expect(stepOfName(indexName(12))).toBe(12);
    for (const name of ['step-1.bin', 'step-.json', 'step-1.json.tmp', '../step-1.json', 'step-1e3.json'])
      expect(stepOfName(name)).toBeNull();
  });
});
