/**
 * One set of rows in several formats gives one run: the same log, the same weights.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { openRowFile } from '../../src/data/files/open.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  readWeights,
  type TinyProject,
  type TinyRun,
  tinyProject,
  tinyRun,
  weightDifference,
  writeRows,
} from '../helpers/tiny.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../data/files/fixtures/${name}`, import.meta.url));
const root = temporaryFolder();
let project: TinyProject;
let fromLines: TinyRun;

const UNTIMED = ['reward', 'loss', 'grad_norm', 'completions/mean_length', 'attention/tdr'];
const numbersOf = ({ logs }: TinyRun) => logs.map((log) => UNTIMED.map((name) => log[name] ?? null));

/** The rows of image.parquet as files of their own and lines that name them. */
beforeAll(async () => {
  project = await tinyProject(root);
  mkdirSync(join(root, 'pictures'));
  const rows: object[] = [];
  const table = await openRowFile(fixture('image.parquet'));
  for await (const { value } of table.rows()) {
    const { problem, image, answer } = value() as { problem: string; image: { bytes: Uint8Array }; answer: string };
    const name = `pictures/${rows.length}.png`;
    writeFileSync(join(root, name), image.bytes);
    rows.push({ caption: problem, image: name, answer });
  }
  table.release();
  writeRows(join(root, 'rows.jsonl'), rows);
  writeFileSync(join(root, 'rows.json'), JSON.stringify(rows, null, 2));
  writeFileSync(
    join(root, 'rows.csv'),
    `caption,image,answer\n${(rows as Record<string, string>[]).map((row) => `${row.caption},${row.image},${row.answer}`).join('\n')}\n`,
  );
  fromLines = await tinyRun(project, 'jsonl', {
    dataset: join(root, 'rows.jsonl'),
    columns: '{"caption": "query"}',
  });
  expect(fromLines.logs).toHaveLength(2);
});

test.each([
  ['parquet', () => fixture('image.parquet'), undefined],
  ['published', () => fixture('published'), undefined],
  ['json', () => join(root, 'rows.json'), '{"caption": "query"}'],
  ['csv', () => join(root, 'rows.csv'), '{"Caption": "problem"}'],
])('%s', async (name, dataset, columns) => {
  const run = await tinyRun(project, name, { dataset: dataset(), columns });
  expect(numbersOf(run)).toEqual(numbersOf(fromLines));
  expect(run.completions.completion).toEqual(fromLines.completions.completion);
  const [weights, expected] = [run, fromLines].map(({ folder }) => readWeights(join(folder, 'checkpoint-2')));
  expect(weightDifference(weights!, expected!)).toBe(0);
});
