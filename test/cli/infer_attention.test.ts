/**
 * `sightline infer --attention`: a page or a picture of where the answer looks, from the tiny model.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { infer } from '../../src/cli/infer.ts';
import type { AttentionPageData } from '../../src/report/attention_page.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type TinyProject, tinyProject } from '../helpers/tiny.ts';
import { pretendIo } from './io.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root, 2);
});

async function ask(words: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const { io, text } = pretendIo({});
  const image = join(root, '0.png');
  await infer(['--model', project.model, '--image', image, '--max_new_tokens', '6', ...words], io);
  return text;
}

test('a page holds tokens and attention, and no text of the model as markup', async () => {
  const file = join(root, 'attention.html');
  const question = 'which </script><b>colour</b>?';
  const { stdout, stderr } = await ask(['--prompt', question, '--attention', file]);
  expect(stderr).toContain(`where the answer looks: ${file}`);
  const page = readFileSync(file, 'utf8');
  const json = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!;
  expect(json).not.toContain('<');
  const data = JSON.parse(json) as AttentionPageData;
  expect(data.question).toBe(question);
  expect(data.tokens.join('')).toContain(stdout.trimEnd());
  const [image] = data.images;
  const values = new Float32Array(Uint8Array.from(Buffer.from(image!.values, 'base64')).buffer);
  expect(values).toHaveLength(data.tokens.length * image!.rows * image!.columns);
  // 84 x 56 pixels: 3 by 2 tokens of 28 pixels
  expect([image!.rows, image!.columns]).toEqual([2, 3]);
  for (let token = 0; token < data.tokens.length; token++) {
    const share = values.subarray(6 * token, 6 * token + 6).reduce((sum, value) => sum + value, 0);
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(1);
  }
  expect(page.match(/<script/g)).toHaveLength(2);
  expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
});

test('a picture shows the image beside the image under its attention', async () => {
  const file = join(root, 'attention.png');
  await ask(['--prompt', 'which colour?', '--attention', file]);
  const { width, height } = await sharp(file).metadata();
  expect([width, height]).toEqual([2 * 84 * 6 + 16, 56 * 6]);
});

test.each([
  ['another ending', ['--prompt', 'a?', '--attention', 'a.gif'], /ends in neither \.html nor \.png/],
  ['no question', ['--attention', 'a.html'], /no answer about an image/],
])('%s is refused', async (_, words, message) => {
  await expect(ask(words)).rejects.toThrow(message);
  expect(existsSync('a.html')).toBe(false);
});
