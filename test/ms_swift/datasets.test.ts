import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { planDatasets, writeCopy } from '../../src/ms_swift/datasets.ts';
import { followFile } from '../../src/ms_swift/follow_file.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder();
const base64 = 'iVBORw0KGgo'.padEnd(80, 'A');
const rows = [
  { query: 'a', images: ['images/1.png', base64, 'https://example.org/1.png', 'missing.png'] },
  {
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image', image: 'images/1.png' },
          { type: 'text', text: 'b' },
        ],
      },
    ],
  },
  { query: 'c', image: { path: 'images/1.png', bytes: null }, path: 'images/1.png' },
];
for (const name of ['train', 'val']) {
  mkdirSync(join(folder, name, 'images'), { recursive: true });
  writeFileSync(join(folder, name, 'images', '1.png'), '');
  writeFileSync(join(folder, name, `${name}.jsonl`), `\n${rows.map((row) => JSON.stringify(row)).join('\n')}\n`);
}
const [train, val] = ['train', 'val'].map((name) => join(folder, name, `${name}.jsonl`)) as [string, string];
const copies = join(folder, 'rows');

describe('files', () => {
  test('of one folder are read where they are', () => {
    const plan = planDatasets({ dataset: [train], valDataset: [] }, copies, null);
    expect(plan).toEqual({ dataset: [train], valDataset: [], imageRoot: join(folder, 'train'), copies: [] });
  });

  test('of several folders are copied, unless the user has said where pictures are', () => {
    const plan = planDatasets({ dataset: [train], valDataset: [val] }, copies, null);
    expect(plan).toEqual({
      dataset: [join(copies, 'train-0-train.jsonl')],
      valDataset: [join(copies, 'val-0-val.jsonl')],
      imageRoot: null,
      copies: [
        { from: train, to: join(copies, 'train-0-train.jsonl'), rows: null },
        { from: val, to: join(copies, 'val-0-val.jsonl'), rows: null },
      ],
    });
    expect(planDatasets({ dataset: [train], valDataset: [val] }, copies, 'ROOT').copies).toEqual([]);
  });

  test('of which only the first rows are wanted are copied', () => {
    const { copies: made } = planDatasets({ dataset: [`${train}#2`], valDataset: [] }, copies, null);
    expect(made).toEqual([{ from: train, to: join(copies, 'train-0-train.jsonl'), rows: 2 }]);
  });
});

test('a copy has whole paths of pictures that are there, and nothing else is changed', async () => {
  const to = join(copies, 'copy.jsonl');
  await writeCopy({ from: train, to, rows: null });
  const image = join(folder, 'train', 'images', '1.png');
  const written = readFileSync(to, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(written).toEqual([
    { query: 'a', images: [image, base64, 'https://example.org/1.png', 'missing.png'] },
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', image },
            { type: 'text', text: 'b' },
          ],
        },
      ],
    },
    { query: 'c', image: { path: image, bytes: null }, path: 'images/1.png' },
  ]);
  await writeCopy({ from: train, to, rows: 1 });
  expect(readFileSync(to, 'utf8').trimEnd().split('\n')).toHaveLength(1);
});

test('a row that is not JSON is named', async () => {
  const from = join(folder, 'broken.jsonl');
  writeFileSync(from, '{}\n{"a":\n');
  await expect(writeCopy({ from, to: join(copies, 'broken.jsonl'), rows: null })).rejects.toMatchObject({
    code: 'E_DATASET_LINE',
    where: `${from}:2`,
  });
});

test('folders, and formats that ms-swift reads otherwise, are copied as JSONL with their images in it', async () => {
  const fixtures = fileURLToPath(new URL('../data/files/fixtures', import.meta.url));
  const [saved, csv, parquet] = ['saved_dict', 'excel.csv', 'image.parquet'].map((name) => join(fixtures, name));
  for (const path of [saved!, csv!]) {
    const { dataset } = planDatasets({ dataset: [path], valDataset: [] }, copies, null);
    expect(dataset).toEqual([join(copies, `train-0-${basename(path)}.jsonl`)]);
  }
  expect(planDatasets({ dataset: [parquet!], valDataset: [] }, copies, null).copies).toEqual([]);
  const to = join(copies, 'saved.jsonl');
  await writeCopy({ from: saved!, to, rows: null }, { problem: 'query' });
  const written = readFileSync(to, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(written.map(({ problem, answer }) => [problem, answer])).toEqual([
    ['<image>What colour is square 0?', 'red'],
    ['<image>What colour is square 1?', 'green'],
  ]);
  expect(written[0].image).toMatch(/^data:image\/png;base64,iVBORw0KGgo/);
});

test('columns that become images have whole paths too', async () => {
  const from = join(folder, 'train', 'renamed.jsonl');
  writeFileSync(from, '{"query": "a", "Picture": "images/1.png"}\n');
  const to = join(copies, 'renamed.jsonl');
  await writeCopy({ from, to, rows: null }, { picture: 'images' });
  expect(JSON.parse(readFileSync(to, 'utf8'))).toEqual({
    query: 'a',
    Picture: join(folder, 'train', 'images', '1.png'),
  });
});

test('a file that grows is read in lines, wherever it is cut', () => {
  const path = join(folder, 'grows.log');
  const file = followFile(path);
  expect(file.next()).toEqual([]);
  const bytes = Buffer.from('one\r\ntwo ✖\rthree\nfo', 'utf8');
  writeFileSync(path, bytes.subarray(0, 10));
  expect(file.next()).toEqual(['one']);
  writeFileSync(path, bytes);
  expect(file.next()).toEqual(['two ✖', 'three']);
  expect(file.unfinished()).toBe('fo');
  writeFileSync(path, Buffer.concat([bytes, Buffer.from('ur')]));
  expect(file.rest()).toEqual(['four']);
  expect(file.rest()).toEqual([]);
});
