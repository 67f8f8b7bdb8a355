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
const pil = (name: string) => readFileSync(new URL(`pil/${name}`, import.meta.url));
/** Where a file states its width and its height. */
const placesOfSize = (name: string, bytes: Buffer): readonly number[] => {
  if (name.endsWith('.bmp')) return [18, 22];
  const box = bytes.indexOf('ispe') + 8;
  if (name.endsWith('.avif')) return [box, box + 4];
  const entry = bytes.indexOf(Buffer.from('0001040001000000', 'hex')); // ImageWidth, a LONG; ImageLength is next
  return [entry + 8, entry + 20];
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

  test.each([
    ['rgb.bmp', 40],
    ['rgb16.tif', 300],
    ['big.tif', 100],
    ['rgb444.avif', 100],
    ['rgb444.avif', 590],
    ['animated.avif', 1600],
  ])('%s that ends after %d bytes', async (name, length) => {
    const opened = faulty(`cut_${length}_${name}`, pil(name).subarray(0, length));
    await expect(opened).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT', where });
    await expect(opened).rejects.toThrow('the file ends too early');
  });

  test.each(['rgb.bmp', 'rgb.tif', 'rgb444.avif'])('%s of a size that nobody has', async (name) => {
    const bytes = Buffer.from(pil(name));
    for (const place of placesOfSize(name, bytes)) bytes.writeUInt32LE(0x00ffff00, place); // large in either order of bytes
    await expect(faulty(`bomb_${name}`, bytes)).rejects.toMatchObject({ code: 'E_IMAGE_TOO_LARGE', where });
  });

  test.each(['refused_ycbcr.tif', 'refused_zstd.tif'])('%s', async (name) => {
    await expect(faulty(name, pil(name))).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where });
  });

  test('a format is told by content, not by the name', async () => {
    await expect(faulty('a.png', pil('rgb.bmp'))).resolves.toBeUndefined();
    await expect(faulty('b.bmp', 'BM, that is short for something else')).rejects.toMatchObject({
      code: 'E_IMAGE_FORMAT',
    });
  });

  test.each(['rgb.bmp', 'big.tif', 'lzw.tif', 'rgba.avif', 'small_frame.gif'])(
    '%s with bytes flipped: the header is read or refused, never a hang or a crash',
    async (name) => {
      const good = pil(name);
      for (let i = 0; i < 300; i++) {
        const bytes = Buffer.from(good);
        bytes[(i * 7919) % bytes.length] = (i * 31) % 256;
        bytes[(i * 13) % 64] = (i * 57) % 256;
        await checkImageSource({ kind: 'bytes', bytes, where }).catch((error: unknown) =>
          expect(error).toMatchObject({ code: expect.stringMatching(/^E_IMAGE_/) }),
        );
      }
    },
  );

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
