import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { demo } from '../../src/cli/demo.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'demo command '));
  vi.spyOn(console, 'log').mockImplementation(() => undefined);
});
afterEach(() => {
  rmSync(root, { recursive: true });
  vi.restoreAllMocks();
});

const run = (...words: string[]) => demo(words, { signal: new AbortController().signal });

test('data, tokenizer and checkpoint write what they say', async () => {
  await run('data', '--kind', 'eval', '--rows', '2', '--output_dir', join(root, 'data'));
  expect(existsSync(join(root, 'data', 'images', '00001.png'))).toBe(true);
  await run('tokenizer', '--output_dir', join(root, 'tokenizer'));
  expect(existsSync(join(root, 'tokenizer', 'tokenizer.json'))).toBe(true);
  await run('checkpoint', '--output_dir', join(root, 'checkpoint'), '--seed', '1');
  expect(existsSync(join(root, 'checkpoint', 'model.safetensors'))).toBe(true);
});

test('an abort ends it, and leaves nothing', async () => {
  const signal = AbortSignal.timeout(100);
  const words = ['data', '--kind', 'eval', '--rows', '100000', '--output_dir', join(root, 'data')];
  await expect(demo(words, { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
  expect(readdirSync(root)).toEqual([]);
});

describe('a misspelt flag is told as one, not as the one that it leaves out', () => {
  test.each([
    [
      ['data', '--outputdir', 'x', '--kind', 'sft', '--rows', '1'],
      /unknown option '--outputdir'.*Did you mean --output_dir/s,
    ],
    [['tokenizer', '--output_dri', 'x'], /unknown option '--output_dri'/],
    [['pack', '--modle', 'x'], /unknown option '--modle'.*--model/s],
    [['pack'], /^required: --model <DIR>, --output_dir <DIR>$/],
  ])('%j', async (words, message) => {
    await expect(run(...words)).rejects.toMatchObject({ code: 'E_USAGE', message: expect.stringMatching(message) });
  });
});

describe('wrong usage is one message', () => {
  test.each([
    [['data', '--kind', 'sft', '--rows', '0'], /--rows: expected a whole number of at least 1, got "0"/],
    [['data', '--kind', 'sft', '--rows', '1.5'], /--rows/],
    [['data', '--kind', 'test', '--rows', '1'], /--kind: expected one of sft, grpo, eval, got "test"/],
    [['data', '--kind', 'sft'], /--rows/],
    [['data', '--kind', 'sft', '--rows', '1', '--sed', '2'], /--sed.*--seed/s],
    [['dat'], /dat/],
  ])('%j', async (words, message) => {
    await expect(run(...words, '--output_dir', join(root, 'out'))).rejects.toMatchObject({
      code: 'E_USAGE',
      message: expect.stringMatching(message),
    });
    expect(existsSync(join(root, 'out'))).toBe(false);
  });
});
