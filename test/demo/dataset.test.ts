import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { generateDataset } from '../../src/demo/dataset.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'demo data '));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Every file below a folder by its path, as base64. */
function files(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    names.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(dir.length + 1), readFileSync(path).toString('base64')];
    }),
  );
}

test('writes rows, pictures and prompt; equal seeds give equal bytes', async () => {
  const options = { kind: 'grpo', rows: 40, seed: 3 } as const;
  const { data, prompt } = await generateDataset({ ...options, outputDir: join(root, 'a') });
  await generateDataset({ ...options, outputDir: join(root, 'b', 'c') });
  const lines = readFileSync(data, 'utf8').trimEnd().split('\n');
  expect(lines).toHaveLength(40);
  expect(JSON.parse(lines[7]!)).toMatchObject({ images: ['images/00007.png'], task: 'colour', style: null });
  expect(readFileSync(prompt, 'utf8')).toBe('Look at the picture, think, then answer.');
  expect(Object.keys(files(join(root, 'a')))).toHaveLength(42);
  expect(files(join(root, 'a'))).toEqual(files(join(root, 'b', 'c')));
});

test('a shorter data set is the beginning of a longer one', async () => {
  await generateDataset({ kind: 'sft', rows: 3, seed: 0, outputDir: join(root, 'short') });
  await generateDataset({ kind: 'sft', rows: 5, seed: 0, outputDir: join(root, 'long') });
  const { 'data.jsonl': short, ...rest } = files(join(root, 'short'));
  const long = files(join(root, 'long'));
  expect(Buffer.from(long['data.jsonl']!, 'base64').toString()).toContain(Buffer.from(short!, 'base64').toString());
  expect(long).toMatchObject(rest);
});

test('a folder that holds something is left as it is', async () => {
  writeFileSync(join(root, 'mine.txt'), 'keep');
  const options = { kind: 'eval', rows: 2, seed: 0, outputDir: root } as const;
  await expect(generateDataset(options)).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS', where: root });
  expect(readdirSync(root)).toEqual(['mine.txt']);
});

test('a failed run leaves nothing behind', async () => {
  const options = { kind: 'eval', rows: 2, seed: 0, outputDir: join(root, 'mine.txt', 'below') } as const;
  writeFileSync(join(root, 'mine.txt'), 'keep');
  await expect(generateDataset(options)).rejects.toMatchObject({
    code: 'E_OUTPUT',
    exitCode: 2,
    where: options.outputDir,
    hint: 'part of the path is a file: choose another folder',
  });
  expect(readdirSync(root)).toEqual(['mine.txt']);
});

test('the prompt file of the GRPO example is the sentence the demo is trained with', () => {
  const example = new URL('../../examples/train/grpo/prompt.txt', import.meta.url);
  expect(readFileSync(example, 'utf8')).toBe('Look at the picture, think, then answer.');
});
