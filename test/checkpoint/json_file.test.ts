import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describe as describeValue, readJsonFile, readJsonFileIfPresent } from '../../src/checkpoint/json_file.ts';
import { folderOf, refusal, scratch, shown } from './scratch.ts';

test('objects are read; what is missing may be', () => {
  const dir = folderOf({ 'a.json': '{"a": 1}' });
  expect(readJsonFile(join(dir, 'a.json'))).toEqual({ a: 1 });
  expect(readJsonFileIfPresent(join(dir, 'b.json'))).toBeNull();
});

test.each([
  ['cut off', '{"a":', /not valid JSON/],
  ['not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), /not valid JSON/],
  ['an array', '[1]', /expected a JSON object, found an array \[1\]/],
  ['null', 'null', /found null/],
  ['empty', '', /not valid JSON/],
])('%s', async (_, content, expected) => {
  const path = join(folderOf({ x: content }), 'x');
  const error = await refusal(() => readJsonFileIfPresent(path));
  expect(shown(error)).toMatch(expected);
  expect(error.where).toBe(path);
});

test('too large, missing, a folder, a pipe', async () => {
  const dir = folderOf({ x: '{"a": 1}' });
  expect(shown(await refusal(() => readJsonFile(join(dir, 'x'), 5)))).toMatch(/has 8 bytes, at most 5/);
  expect((await refusal(() => readJsonFile(join(dir, 'y')))).code).toBe('E_FILE_MISSING');
  expect((await refusal(() => readJsonFile(join(dir, 'x', 'y')))).code).toBe('E_FILE_MISSING');
  expect(shown(await refusal(() => readJsonFile(scratch())))).toMatch(/not a regular file/);
  if (process.platform === 'win32') return;
  execFileSync('mkfifo', [join(dir, 'pipe')]);
  expect(shown(await refusal(() => readJsonFile(join(dir, 'pipe'))))).toMatch(/not a regular file/);
});

test('values in messages', () => {
  expect(describeValue(undefined)).toBe('nothing');
  expect(describeValue('x')).toBe('the string "x"');
  expect(describeValue({ a: 'y'.repeat(100) }).length).toBeLessThan(80);
});
