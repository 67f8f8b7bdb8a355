/**
 * Datasets in files of every kind and in folders: how rows are named, which files are meant, and faults that name both.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openDataset } from '../../../src/data/dataset.ts';
import { createGroupCache } from '../../../src/data/files/group_cache.ts';
import { readImageBytes } from '../../../src/data/image_source.ts';
import { temporaryFolder } from '../../helpers/folder.ts';

const root = temporaryFolder();
const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
let folders = 0;
/** A folder with these files; a name that ends with .parquet is filled with rows, any other with a line. */
function folder(names: readonly string[]): string {
  const path = join(root, `${folders++}`);
  for (const name of names) {
    mkdirSync(join(path, name, '..'), { recursive: true });
    if (name.endsWith('.parquet')) cpSync(fixture('image.parquet'), join(path, name));
    else writeFileSync(join(path, name), '{"query": "a"}\n');
  }
  return path;
}
async function wheres(specs: readonly string[], options = {}): Promise<string[]> {
  const dataset = await openDataset(specs, options);
  const rows = await Promise.all(Array.from({ length: dataset.length }, (_, i) => dataset.row(i)));
  dataset.close();
  return rows.map(({ where }) => where);
}

describe('rows', () => {
  test('of tables are named by their number, and have their images as bytes', async () => {
    const path = fixture('image.parquet');
    const dataset = await openDataset([path]);
    const row = await dataset.row(1);
    expect(row).toMatchObject({ index: 1, where: `${path} row 2`, columns: { answer: 'green' } });
    expect(
      Buffer.from(await readImageBytes(row.images[0]!))
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
    expect([...dataset.columns]).toEqual([
      ['messages', 3],
      ['images', 3],
      ['answer', 3],
    ]);
    dataset.close();
    expect((await dataset.row(0)).index).toBe(0); // a closed one opens again
    dataset.close();
  });

  test('of several datasets follow one another; #n counts over the files of a folder', async () => {
    const [published, saved] = [fixture('published'), fixture('saved_dict')];
    expect(await wheres([`${published}#2`, saved, `${fixture('indent.json')}#1`], { checkImages: false })).toEqual([
      join(published, 'data/train-00000-of-00002.parquet row 1'),
      join(published, 'data/train-00000-of-00002.parquet row 2'),
      join(saved, 'train/data-00000-of-00001.arrow row 1'),
      join(saved, 'train/data-00000-of-00001.arrow row 2'),
      `${fixture('indent.json')}:2`,
    ]);
    expect(await wheres([join(saved, 'test')])).toHaveLength(1);
  });

  test('of a table that changes under the run are told as such', async () => {
    const path = join(root, 'changing.parquet');
    cpSync(fixture('image.parquet'), path);
    const dataset = await openDataset([path]);
    writeFileSync(path, readFileSync(fixture('none.parquet')));
    await expect(dataset.row(1)).rejects.toMatchObject({ code: 'E_DATASET_CHANGED', where: `${path} row 2` });
    dataset.close();
  });

  test('lack a question: the columns are named', async () => {
    const renamed = { columns: { problem: 'unknown' } };
    await expect(openDataset([fixture('image.parquet')], renamed)).rejects.toMatchObject({
      code: 'E_DATASET_ROW',
      where: `${fixture('image.parquet')} row 1`,
      message: expect.stringContaining('"unknown", "image", "answer"'),
    });
  });

  test.each([
    [
      'an image that is none',
      { query: '<image>?', image: Buffer.from('no picture, but text').toString('base64').repeat(4) },
      'E_IMAGE',
    ],
    ['bytes that are no image', { query: '<image>?', image: { bytes: [1, 2, 3, 4] } }, 'E_IMAGE_FORMAT'],
    ['a number for an image', { query: '<image>?', image: 7 }, 'E_IMAGE_SOURCE'],
    ['a number for a question', { query: 7 }, 'E_DATASET_ROW'],
    ['an object for messages', { messages: { role: 'user' } }, 'E_DATASET_ROW'],
  ])('%s', async (_name, row, code) => {
    const path = join(root, 'wrong.json');
    writeFileSync(path, JSON.stringify([{ query: 'fine' }, row], null, 1));
    await expect(openDataset([path])).rejects.toMatchObject({
      code: expect.stringContaining(code),
      where: `${path}:5`,
      exitCode: 2,
    });
    expect((await openDataset([path], { strict: false })).length).toBe(1);
  });
});

describe('--columns', () => {
  const rows = [{ Caption: 'a', extra: 1 }, { caption: 'b', answer: null }, { query: 'c' }];
  const path = join(root, 'columns.json');
  writeFileSync(path, JSON.stringify(rows));

  test('renames in any case, and rows may lack the column', async () => {
    const dataset = await openDataset([path], { columns: { CAPTION: 'query', extra: 'solution' } });
    const all = await Promise.all([0, 1, 2].map((i) => dataset.row(i)));
    expect(all.map(({ messages }) => messages[0]?.content)).toEqual(['a', 'b', 'c']);
    expect(all[0]!.columns).toEqual({ solution: 1 });
    dataset.close();
  });

  test('a name that no row has is an error that names those there are', async () => {
    await expect(openDataset([path], { columns: { caption: 'query', picture: 'images' } })).rejects.toMatchObject({
      code: 'E_DATASET_COLUMN',
      message: expect.stringContaining('"picture"'),
      hint: expect.stringContaining('"Caption", "extra"'),
    });
  });

  test('a new name that the row has already is refused, unless it has no value there', async () => {
    const twice = join(root, 'twice.json');
    writeFileSync(
      twice,
      JSON.stringify([
        { caption: 'a', query: null },
        { caption: 'b', query: 'c' },
      ]),
    );
    await expect(openDataset([twice], { columns: { caption: 'query' } })).rejects.toMatchObject({
      code: 'E_DATASET_ROW',
      where: `${twice}:1`,
      message: expect.stringContaining('both have a value'),
    });
    expect(await wheres([`${twice}#1`], { columns: { caption: 'query' } })).toHaveLength(1);
  });
});

describe('folders', () => {
  test.each<[string, string[], string[]]>([
    [
      'shards of a split',
      ['data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet', 'data/test-00000-of-00001.parquet'],
      ['data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet'],
    ],
    ['names of splits', ['train.jsonl', 'validation.jsonl', 'test.jsonl'], ['train.jsonl']],
    ['a folder for each split', ['train/a.jsonl', 'train/b.jsonl', 'dev/a.jsonl'], ['train/a.jsonl', 'train/b.jsonl']],
    ['no splits', ['b.jsonl', 'a.jsonl', 'README.md', '.cache/x.jsonl', 'dataset_infos.json'], ['a.jsonl', 'b.jsonl']],
    ['a word that only contains one', ['constraint.jsonl'], ['constraint.jsonl']],
  ])('%s', async (_name, names, expected) => {
    const path = folder(names);
    const files = [...new Set((await wheres([path])).map((where) => where.replace(/:1$| row \d+$/, '')))];
    expect(files).toEqual(expected.map((name) => join(path, name)));
  });

  test.each<[string, string[], string, string]>([
    ['nothing', ['README.md'], 'E_DATASET_FOLDER', 'no dataset'],
    ['no training split', ['data/test-00000-of-00001.parquet'], 'E_DATASET_FOLDER', '"test"'],
    ['several configurations', ['main/train.jsonl', 'other/train.jsonl'], 'E_DATASET_FOLDER', '"main", "other"'],
    ['several formats', ['train.jsonl', 'train.csv'], 'E_DATASET_FOLDER', 'csv, jsonl'],
    [
      'a shard that is not there',
      ['train-00000-of-00003.parquet', 'train-00002-of-00003.parquet'],
      'E_DATASET_MISSING',
      'train-00001-of-00003',
    ],
  ])('%s', async (_name, names, code, message) => {
    const path = folder(names);
    await expect(openDataset([path])).rejects.toMatchObject({
      code,
      where: path,
      message: expect.stringContaining(message),
      hint: expect.stringMatching(/./),
    });
  });

  test('a saved dataset of which a file is gone, or whose state names none', async () => {
    const path = join(root, 'saved');
    cpSync(fixture('saved'), path, { recursive: true });
    rmSync(join(path, 'data-00001-of-00002.arrow'));
    const missing = openDataset([path], { checkImages: false });
    await expect(missing).rejects.toMatchObject({ code: 'E_DATASET_MISSING' });
    writeFileSync(join(path, 'state.json'), '{}');
    await expect(openDataset([path])).rejects.toMatchObject({ code: 'E_DATASET_FOLDER' });
    writeFileSync(join(path, 'state.json'), '{');
    await expect(openDataset([path])).rejects.toMatchObject({ code: 'E_JSON_INVALID' });
  });
});

test('groups are kept within a bound, and one of any size', async () => {
  const decoded: number[] = [];
  const cache = createGroupCache(
    async (group) => {
      decoded.push(group);
      if (group === 9) throw new Error('broken');
      return group;
    },
    (group) => (group === 5 ? 2 ** 40 : 50 * 2 ** 20),
  );
  for (const group of [0, 1, 0, 1, 2, 1, 0]) expect(await cache.get(group)).toBe(group);
  expect(decoded).toEqual([0, 1, 2, 0]);
  for (const group of [5, 5, 0]) await cache.get(group);
  expect(decoded).toEqual([0, 1, 2, 0, 5, 0]);
  for (let i = 0; i < 2; i++) await expect(cache.get(9)).rejects.toThrow('broken');
  expect(decoded.filter((group) => group === 9)).toHaveLength(2);
});
