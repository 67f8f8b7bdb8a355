/**
 * Images as a dataset's opening looks at them: by their headers.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { checkImageSource, createImageCheck } from '../../src/data/image_check.ts';
import { formatOf, OPENING_BYTES, sizeInHeader } from '../../src/data/image_header.ts';
import { parseImageSource } from '../../src/data/image_source.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const root = temporaryFolder();
const where = 'rows.jsonl:4';
const sizeOf = (bytes: Uint8Array) =>
  sizeInHeader(formatOf(bytes)!, bytes.subarray(0, OPENING_BYTES), async (at, length) =>
    bytes.subarray(at, at + length),
  );
const faulty = (name: string, bytes: Uint8Array | string) => {
  writeFileSync(join(root, name), bytes);
  return checkImageSource(parseImageSource(name, root, where));
};
const picture = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#345678' }, limitInputPixels: false });

describe('the size in the header is that of the pixels', () => {
  const folder = fileURLToPath(new URL('pil', import.meta.url));
  const expected: Record<string, { width: number; height: number }> = JSON.parse(
    readFileSync(join(folder, 'expected.json'), 'utf8'),
  );
  test.each(Object.entries(expected))('%s', async (name, { width, height }) => {
    expect(await sizeOf(readFileSync(join(folder, name)))).toEqual({ width, height });
  });

  test('of every format and kind', async () => {
    const one = picture(300, 70);
    for (const made of [
      one.clone().png(),
      one.clone().gif(),
      one.clone().jpeg(),
      one.clone().jpeg({ progressive: true }),
      one
        .clone()
        .withMetadata({ exif: { IFD0: { Copyright: 'x'.repeat(9000) } } })
        .jpeg(),
      one.clone().webp(),
      one.clone().webp({ lossless: true }),
      one.clone().ensureAlpha(0.5).webp(),
    ]) {
      expect(await sizeOf(await made.toBuffer())).toEqual({ width: 300, height: 70 });
    }
  });
});

describe('a faulty image names file and row', () => {
  test('text, a bomb, a strip, a file that ends within its header', async () => {
    const bomb = await picture(9000, 9000).png({ compressionLevel: 1 }).toBuffer();
    const jpeg = await picture(30, 30).jpeg().toBuffer();
    const cases = [
      ['text.png', 'I am no image', 'E_IMAGE_FORMAT'],
      ['bomb.png', bomb, 'E_IMAGE_TOO_LARGE'],
      ['strip.png', await picture(1000, 2).png().toBuffer(), 'E_IMAGE_ASPECT'],
      ['cut.png', bomb.subarray(0, 20), 'E_IMAGE_CORRUPT'],
      ['cut.jpg', jpeg.subarray(0, 60), 'E_IMAGE_CORRUPT'],
      ['cut.webp', (await picture(30, 30).webp().toBuffer()).subarray(0, 24), 'E_IMAGE_CORRUPT'],
    ] as const;
    for (const [name, bytes, code] of cases) await expect(faulty(name, bytes)).rejects.toMatchObject({ code, where });
    const inline = parseImageSource({ bytes: [...Buffer.from('I am no image either')] }, root, where);
    await expect(checkImageSource(inline)).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where });
  });

  test('a JPEG of segments without end is left to the decoder', async () => {
    const segments = Buffer.concat([Buffer.from('ffd8', 'hex'), Buffer.alloc(400_000, Buffer.from('ffe00002', 'hex'))]);
    expect(await sizeOf(segments)).toBeNull();
  });
});

test('a file is looked at once, and each of its rows is told', async () => {
  const check = createImageCheck();
  writeFileSync(join(root, 'once.png'), 'no image');
  const source = (row: number) => parseImageSource('once.png', root, `rows.jsonl:${row}`);
  await expect(check(source(1))).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where: 'rows.jsonl:1' });
  rmSync(join(root, 'once.png'));
  await expect(check(source(2))).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where: 'rows.jsonl:2' });
  await expect(createImageCheck()(source(3))).rejects.toMatchObject({ code: 'E_IMAGE_MISSING' });
});
