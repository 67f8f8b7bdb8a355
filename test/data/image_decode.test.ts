import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage } from '../../src/data/image_decode.ts';

const folder = fileURLToPath(new URL('pil', import.meta.url));
const expected: Record<string, { mode: string; width: number; height: number; rgb: string }> = JSON.parse(
  readFileSync(join(folder, 'expected.json'), 'utf8'),
);
const at = { name: 'a.png', where: 'rows.jsonl:3' };

describe("pixels are those of PIL's convert('RGB')", () => {
  for (const [name, { mode, width, height, rgb }] of Object.entries(expected)) {
    test(`${name} (${mode})`, async () => {
      const image = await decodeImage(readFileSync(join(folder, name)), at);
      expect([image.width, image.height]).toEqual([width, height]);
      const wanted = Buffer.from(rgb, 'hex');
      expect(image.data.length).toBe(wanted.length);
      const worst = image.data.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
      expect(worst).toBe(0);
    });
  }
});

describe('hostile images get one clear error', () => {
  const pixels = { create: { width: 60, height: 40, channels: 3, background: '#345678' } } as const;

  test('truncated JPEG, PNG, WebP', async () => {
    const noisy = sharp({ create: { ...pixels.create, noise: { type: 'gaussian', mean: 128, sigma: 60 } } });
    for (const bytes of [await noisy.jpeg().toBuffer(), await noisy.png().toBuffer(), await noisy.webp().toBuffer()]) {
      for (const share of [0.05, 0.5, 0.9]) {
        const cut = bytes.subarray(0, Math.max(12, Math.floor(bytes.length * share)));
        await expect(decodeImage(cut, at)).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT', where: at.where });
      }
    }
  });

  test('a bomb is refused by its header, before decoding', async () => {
    const bomb = await sharp({
      create: { width: 9000, height: 9000, channels: 3, background: '#000' },
      limitInputPixels: false,
    })
      .png({ compressionLevel: 1 })
      .toBuffer();
    await expect(decodeImage(bomb, at)).rejects.toMatchObject({ code: 'E_IMAGE_TOO_LARGE' });
    await expect(decodeImage(bomb, at)).rejects.toThrow('9000 x 9000');
  });

  test.each([
    ['SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')],
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('hello, I am not an image')],
    ['TIFF', Buffer.from('49492a0008000000', 'hex')],
    ['PDF', Buffer.from('%PDF-1.7')],
  ])('%s is not on the list of formats', async (_name, bytes) => {
    await expect(decodeImage(bytes, at)).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where: at.where });
  });

  test('a PNG signature with rubbish behind it', async () => {
    const bytes = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(500, 7)]);
    await expect(decodeImage(bytes, at)).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT' });
  });

  test('bytes flipped anywhere: an image or the one error, never a hang or a crash', async () => {
    const good = await sharp(pixels).jpeg().toBuffer();
    for (let i = 0; i < 150; i++) {
      const bytes = Buffer.from(good);
      bytes[(i * 7919) % bytes.length] = (i * 31) % 256;
      await decodeImage(bytes, { ...at, maxPixels: 1_000_000 }).then(
        (image) => expect(image.data.length).toBe(image.width * image.height * 3),
        (error: unknown) => expect(error).toMatchObject({ code: expect.stringMatching(/^E_IMAGE_/) }),
      );
    }
  });
});
