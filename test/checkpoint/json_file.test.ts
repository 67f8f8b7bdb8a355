import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readJsonFile, readJsonFileIfPresent } from '../../src/checkpoint/json_file.ts';
import { describe as describeValue } from '../../src/util/json.ts';
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

test('what is broken is told with its place, and what to do', async () => {
  const told = async (content: string | Uint8Array): Promise<string[]> => {
    const { message, hint } = await refusal(() => readJsonFile(join(folderOf({ x: content }), 'x')));
    return [message, hint ?? 'nothing'];
  };
  expect(await told('{\n  "a": 1,\n  b: 2\n}')).toEqual([
    'not valid JSON: "b: 2" is not expected at line 3, column 3',
    'correct the text there or just before it; if the file was fetched, it may be damaged: fetch it again',
  ]);
  expect(await told('{"a":\n')).toEqual([
    'not valid JSON: the text ends at line 2, column 1',
    'the file may be cut off: complete it, or fetch it again',
  ]);
  expect((await told(Uint8Array.of(0x7b, 0xff, 0x7d)))[1]).toMatch(/save the file as UTF-8/);
  expect((await told('[1]'))[1]).toBe('the file holds one object: {"name": value, ...}');
  expect((await told('{\u001b[31m\u009b1m}'))[0]).toMatch('"\\u001b[31m\\u009b1m}" is not expected at line 1');
});

test('too large, missing, a folder, a pipe', async () => {
  const dir = folderOf({ x: '{"a": 1}' });
  expect(shown(await refusal(() => readJsonFile(join(dir, 'x'), 5)))).toMatch(/has 8 bytes; the limit is 5/);
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
