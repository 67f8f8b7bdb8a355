import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkImageSource } from '../../src/data/image_check.ts';
import { parseImageSource, readImageBytes } from '../../src/data/image_source.ts';
import { describe as describeValue } from '../../src/util/json.ts';

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const dir = mkdtempSync(join(tmpdir(), 'images-'));
writeFileSync(join(dir, 'a.png'), PNG);
writeFileSync(join(dir, 'empty.png'), '');
mkdirSync(join(dir, 'folder.png'));
symlinkSync(join(dir, 'a.png'), join(dir, 'link.png'));
symlinkSync(join(dir, 'loop.png'), join(dir, 'loop.png'));
const where = 'rows.jsonl:4';

describe('every kind of source gives the same bytes', () => {
  const base64 = PNG.toString('base64');
  test.each<[string, unknown]>([
    ['relative path', 'a.png'],
    ['absolute path', join(dir, 'a.png')],
    ['file URL', pathToFileURL(join(dir, 'a.png')).href],
    ['symlink', 'link.png'],
    ['{path}', { path: 'a.png' }],
    ['{bytes: null, path}', { bytes: null, path: 'a.png' }],
    ['{bytes: base64}', { bytes: base64, path: 'never.png' }],
    ['{bytes: [..]}', { bytes: [...PNG] }],
    ['{bytes: Buffer as JSON}', { bytes: JSON.parse(JSON.stringify(PNG)) }],
    ['bytes', new Uint8Array(PNG)],
    ['base64', base64],
    ['base64 in lines', base64.replace(/.{40}/g, '$&\n')],
    ['data URI', `data:image/png;base64,${base64}`],
    ['image_url of a chat API', { url: `data:image/png;base64,${base64}` }],
  ])('%s', async (_name, value) => {
    const source = parseImageSource(value, dir, where);
    await checkImageSource(source);
    expect(Buffer.from(await readImageBytes(source)).equals(PNG)).toBe(true);
  });
});

test.each([
  'rgb.png',
  'rgb.jpg',
  'animated.gif',
  'rgba.webp',
  'rgb.bmp',
  'os2.bmp',
  'rgb.tif',
  'rgb16.tif',
  'big.tif',
  'rgb444.avif',
  'animated.avif',
])('the base64 of %s is told from a path', (name) => {
  const base64 = readFileSync(new URL(`pil/${name}`, import.meta.url)).toString('base64');
  expect(parseImageSource(base64, dir, where)).toMatchObject({ kind: 'base64', base64 });
});

test('a path without a dot that begins as a BMP does stays a path', () => {
  const name = 'Qk0tpictures/of/the/first/half/of/the/year/number0001';
  expect(parseImageSource(name, dir, where)).toMatchObject({ kind: 'path' });
});

describe('bad sources name the row', () => {
  test.each<[string, unknown, string]>([
    ['a number', 7, 'E_IMAGE_SOURCE'],
    ['null', null, 'E_IMAGE_SOURCE'],
    ['an empty string', '', 'E_IMAGE_SOURCE'],
    ['an empty object', {}, 'E_IMAGE_SOURCE'],
    ['a nested list', [['a.png']], 'E_IMAGE_SOURCE'],
    ['a NUL in the path', 'a\0.png', 'E_IMAGE_SOURCE'],
    ['bytes out of range', { bytes: [1, 2, 999] }, 'E_IMAGE_SOURCE'],
    ['a data URI without base64', 'data:image/svg+xml,<svg/>', 'E_IMAGE_SOURCE'],
    ['a URL', 'https://example.com/a.png', 'E_IMAGE_URL'],
  ])('%s', (_name, value, code) => {
    expect(() => parseImageSource(value, dir, where)).toThrow(expect.objectContaining({ code, where }));
  });

  test('objects in objects without end', () => {
    const nested = (levels: number) => JSON.parse(`${'{"image":'.repeat(levels)}"a.png"${'}'.repeat(levels)}`);
    expect(parseImageSource(nested(2), dir, where)).toMatchObject({ path: join(dir, 'a.png') });
    for (const levels of [3, 20_000]) {
      expect(() => parseImageSource(nested(levels), dir, where)).toThrow(
        expect.objectContaining({ code: 'E_IMAGE_SOURCE', where }),
      );
    }
    expect(describeValue(nested(20_000))).toBe('an object ...');
  });

  test.each([
    ['missing.png', 'E_IMAGE_MISSING'],
    ['a.png/b.png', 'E_IMAGE_MISSING'],
    ['folder.png', 'E_IMAGE_UNREADABLE'],
    ['empty.png', 'E_IMAGE_UNREADABLE'],
    ['loop.png', 'E_IMAGE_UNREADABLE'],
    ['/dev/null', 'E_IMAGE_UNREADABLE'],
  ])('%s', async (path, code) => {
    const source = parseImageSource(path, dir, where);
    await expect(readImageBytes(source)).rejects.toMatchObject({ code, where });
    await expect(checkImageSource(source)).rejects.toMatchObject({ code, where });
  });

  test('broken base64', async () => {
    const source = parseImageSource('data:image/png;base64,@@@@', dir, where);
    await expect(readImageBytes(source)).rejects.toMatchObject({ code: 'E_IMAGE_SOURCE', where });
  });

  test.skipIf(process.platform === 'win32')(
    'a FIFO does not hang',
    async () => {
      execFileSync('mkfifo', [join(dir, 'pipe.png')]);
      const source = parseImageSource('pipe.png', dir, where);
      await expect(readImageBytes(source)).rejects.toMatchObject({ code: 'E_IMAGE_UNREADABLE', where });
      await expect(checkImageSource(source)).rejects.toMatchObject({ code: 'E_IMAGE_UNREADABLE', where });
    },
    5000,
  );
});
