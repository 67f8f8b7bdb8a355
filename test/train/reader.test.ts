import { describe, expect, test } from 'vitest';
import { createSampler } from '../../src/data/sampler.ts';
import { SightlineError } from '../../src/errors.ts';
import type { RowSource } from '../../src/train/data.ts';
import { createReader, type LongRows } from '../../src/train/reader.ts';

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
      expect(reader.passedOver).toBeGreaterThanOrEqual(14 * 18);
      expect(reader.passedOver).toBeLessThanOrEqual(15 * 18);
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
