/**
 * Datasets as a run opens them: split, checked, counted.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { openTrainingData, type RowFault, type RowSource, rowsAt } from '../../src/train/data.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { writeRows } from '../helpers/tiny.ts';

const root = temporaryFolder();
const file = join(root, 'rows.jsonl');
writeRows(
  file,
  Array.from({ length: 10 }, (_, n) => ({ messages: [{ role: 'user', content: `${n}` }], n })),
);
const args = { dataset: [file], valDataset: [], splitDatasetRatio: 0, dataSeed: 1, strict: true };
const numbers = async (source: RowSource) => {
  const rows = await rowsAt(
    source,
    Array.from({ length: source.length }, (_, i) => i),
  );
  return rows.map(({ columns }) => columns.n);
};

const odd = (row: { readonly columns: Readonly<Record<string, unknown>>; readonly where: string }): RowFault | null =>
  Number(row.columns.n) % 2 === 0
    ? null
    : { reason: 'odd', error: new SightlineError('E_ODD', 'the number is odd', { where: row.where }) };

describe('openTrainingData', () => {
  test('has all rows for training where nothing else is said', async () => {
    const { train, evaluation, summary, close } = await openTrainingData(args);
    expect(await numbers(train)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(evaluation).toBeNull();
    expect(summary).toEqual({ rows: 10, evalRows: 0, dropped: {}, leftOut: [] });
    close();
  });

  test('splits by the seed, every row on one side', async () => {
    const split = async (dataSeed: number) => {
      const { train, evaluation, summary, close } = await openTrainingData({
        ...args,
        splitDatasetRatio: 0.3,
        dataSeed,
      });
      const sides = [await numbers(train), await numbers(evaluation!)];
      expect(summary).toMatchObject({ rows: 7, evalRows: 3 });
      close();
      return sides;
    };
    const first = await split(1);
    expect(first.flat().sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await split(1)).toEqual(first);
    expect(await split(2)).not.toEqual(first);
  });

  test('prefers evaluation rows of their own', async () => {
    const { train, evaluation, close } = await openTrainingData({
      ...args,
      valDataset: [`${file}#2`],
      splitDatasetRatio: 0.3,
    });
    expect([train.length, evaluation!.length]).toEqual([10, 2]);
    close();
  });

  test('refuses to split a single row', async () => {
    const opening = openTrainingData({ ...args, dataset: [`${file}#1`], splitDatasetRatio: 0.5 });
    await expect(opening).rejects.toMatchObject({ code: 'E_DATASET_EMPTY' });
  });

  test('ends a strict run at the first faulty row, and else leaves out and counts', async () => {
    await expect(openTrainingData(args, odd)).rejects.toMatchObject({ code: 'E_ODD', where: `${file}:2` });
    const { train, summary, close } = await openTrainingData({ ...args, strict: false }, odd);
    expect(await numbers(train)).toEqual([0, 2, 4, 6, 8]);
    const leftOut = [2, 4, 6, 8, 10].map((line) => `left out ${file}:${line}: the number is odd`);
    expect(summary).toEqual({ rows: 5, evalRows: 0, dropped: { odd: 5 }, leftOut });
    close();
  });

  test('has an error for a dataset of which nothing is left', async () => {
    const even = (where: string): RowFault => ({
      reason: 'even',
      error: new SightlineError('E_EVEN', 'the number is even', { where }),
    });
    const opening = openTrainingData({ ...args, strict: false }, (row) => odd(row) ?? even(row.where));
    await expect(opening).rejects.toThrow(/left out: 5 \(even\), 5 \(odd\)/);
  });
});

describe('what is told of rows that are left out', () => {
  const broken = join(root, 'broken.jsonl');
  writeFileSync(broken, `{"messages":[{"role":"user","content":"a"}]}\n${'oops\n'.repeat(8)}`);

  test('before the run: the first few with file, line and reason, and how many more', async () => {
    const { summary, close } = await openTrainingData({ ...args, dataset: [broken], strict: false });
    expect(summary.dropped).toEqual({ 'cannot be read': 8 });
    expect(summary.leftOut).toHaveLength(6);
    expect(summary.leftOut![0]).toMatch(`left out ${broken}:2: the line is not valid JSON`);
    expect(summary.leftOut![5]).toBe('left out 3 more rows that have faults');
    close();
  });

  test('rows that are kept, but not read as they may be meant: once, though two datasets have them', async () => {
    const noted = join(root, 'noted.jsonl');
    const row = { messages: [{ role: 'user', content: '<image> and <bbox>' }], objects: { bbox: [] } };
    writeRows(noted, [row, row, { query: 'Q' }]);
    const { summary, close } = await openTrainingData({ ...args, dataset: [noted], valDataset: [noted] });
    expect(summary.leftOut).toEqual([
      `2 rows have more <image> tags than images: the first tags are images, the others stay text (first: ${noted}:1)`,
      `2 rows have more <ref-object> or <bbox> placeholders than "objects" has entries: the others stay text (first: ${noted}:1)`,
    ]);
    close();
  });

  test('while rows are read: each once, and in the end their number alone', async () => {
    const { train, evaluation, summary, close } = await openTrainingData({
      ...args,
      strict: false,
      splitDatasetRatio: 0.3,
    });
    const damaged = (where: string) => new SightlineError('E_IMAGE_CORRUPT', 'image is damaged', { where });
    for (let epoch = 0; epoch < 2; epoch++) {
      for (const source of [train, evaluation!]) {
        const row = await source.row(0);
        source.leaveOut!(row, damaged(row.where));
      }
    }
    expect(summary.leftOut).toEqual([
      `left out ${(await train.row(0)).where}: image is damaged (1 so far that could not be read)`,
      `left out ${(await evaluation!.row(0)).where}: image is damaged (2 so far that could not be read)`,
    ]);
    for (let i = 0; i < 100; i++) train.leaveOut!({ ...(await train.row(0)), where: `${i}` }, damaged(`${i}`));
    expect(summary.leftOut!.length).toBe(16 + 2);
    expect(summary.leftOut!.at(-1)).toMatch('(64 so far');
    close();
  });

  test('in a strict run nothing is left out', async () => {
    const { train, close } = await openTrainingData(args);
    expect(train.leaveOut).toBeUndefined();
    close();
  });
});
