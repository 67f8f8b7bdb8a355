import { describe, expect, test } from 'vitest';
import { createSampler } from '../../src/data/sampler.ts';
import { SightlineError } from '../../src/errors.ts';
import type { RowSource } from '../../src/train/data.ts';
import { createReader, type LongRows } from '../../src/train/row_reader.ts';

/** Rows that are their own number; those below `usable` are short enough. */
function readerOf(length: number, usable: number, { seed = 0, longRows = 'delete' as LongRows } = {}) {
  const source = { length, row: (index: number) => ({ index, where: `rows.jsonl:${index + 1}` }) };
  return createReader(
    source as unknown as RowSource,
    createSampler({ length, seed }),
    longRows,
    async (row): Promise<number> => {
      const { index, where } = row as unknown as { index: number; where: string };
      if (index >= usable) throw new SightlineError('E_PROMPT_TOO_LONG', `row ${index} is long`, { where, hint: '' });
      return index;
    },
  );
}

describe('rows that are too long', () => {
  test('are passed over however far apart the others lie', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const reader = readerOf(20, 2, { seed });
      const read: number[] = [];
      for (let i = 0; i < 30; i++) read.push(...(await reader.next(1)));
      expect(read).toHaveLength(30);
      expect(read.every((index) => index < 2)).toBe(true);
      // Each epoch gives both, and passes over the other 18.
      expect(read.filter((index) => index === 0)).toHaveLength(15);
      expect(reader.skipped).toBeGreaterThanOrEqual(14 * 18);
      expect(reader.skipped).toBeLessThanOrEqual(15 * 18);
    }
  });

  test('end the run once every one has been seen', async () => {
    const reading = readerOf(7, 0).next(3);
    await expect(reading).rejects.toMatchObject({
      code: 'E_DATASET_EMPTY',
      message: expect.stringContaining('all 7 rows are longer than the limit'),
    });
  });

  test('end the run at once where they are not to be left out', async () => {
    const reader = readerOf(4, 0, { longRows: 'raise' });
    await expect(reader.next(1)).rejects.toMatchObject({ code: 'E_PROMPT_TOO_LONG' });
  });
});

test('an error of another kind is never passed over', async () => {
  const source = { length: 1, row: () => ({}) } as unknown as RowSource;
  const broken = createReader(source, createSampler({ length: 1, seed: 0 }), 'delete', () =>
    Promise.reject(new SightlineError('E_IMAGE', 'no picture', { hint: '' })),
  );
  await expect(broken.next(1)).rejects.toMatchObject({ code: 'E_IMAGE' });
});

describe('rows whose image cannot be read', () => {
  const damaged = (where: string) => new SightlineError('E_IMAGE_CORRUPT', 'image is damaged', { where });
  /** Rows of which every second one is damaged, or all. */
  const reading = (leaveOut: RowSource['leaveOut'], isGood = (index: number) => index % 2 === 0) => {
    const source = { length: 6, row: (index: number) => ({ index, where: `rows.jsonl:${index + 1}` }), leaveOut };
    const sampler = createSampler({ length: 6, seed: 0, shuffle: false });
    return createReader(source as unknown as RowSource, sampler, 'raise', async ({ index, where }) => {
      if (!isGood(index)) throw damaged(where);
      return index;
    });
  };

  test('end a strict run', async () => {
    await expect(reading(undefined).next(3)).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT', where: 'rows.jsonl:2' });
  });

  test('are passed over where the source leaves them out, and are not counted as long', async () => {
    const noted: string[] = [];
    const reader = reading((row) => void noted.push(row.where));
    expect(await reader.next(3)).toEqual([0, 2, 4]);
    expect(await reader.next(3)).toEqual([0, 2, 4]);
    expect(new Set(noted)).toEqual(new Set(['rows.jsonl:2', 'rows.jsonl:4', 'rows.jsonl:6']));
    expect(reader.skipped).toBe(0);
  });

  test('end the run where there are no others', async () => {
    const all = reading(
      () => undefined,
      () => false,
    ).next(3);
    await expect(all).rejects.toMatchObject({ code: 'E_DATASET_EMPTY', message: /images that cannot be read/ });
  });
});
