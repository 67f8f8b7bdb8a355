import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage } from '../../src/data/image_decode.ts';

const folder = fileURLToPath(new URL('pil', import.meta.url));
interface Expected {
  readonly mode: string;
  readonly width: number;
  readonly height: number;
  /** convert('RGB') of PIL, hex. */
  readonly rgb: string;
  /** The same with transparency laid on white, where there is any. */
  readonly white?: string;
}

const expected: Record<string, Expected> = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
const at = { name: 'a.png', where: 'rows.jsonl:3' };
const read = (name: string) => readFileSync(join(folder, name));

/** Lossy or rounded otherwise; everything else is the same byte for byte. */
const BOUND: Readonly<Record<string, number>> = {
  // YUV -> RGB: one rounding each in libheif and libavif
  'rgb444.avif': 1,
  'turned.avif': 1,
  'animated.avif': 1,
  'rgba.avif': 1,
  // colour / opacity: libvips rounds, PIL cuts off
  'premultiplied.tif': 1,
};
/** Chroma at half the resolution: libheif repeats it, libavif interpolates. Brightness does not depend on it. */
const HALVED_CHROMA = 'rgb420.avif';

const worstOf = (data: Uint8Array, wanted: Uint8Array) => {
  expect(data.length).toBe(wanted.length);
  return data.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
};

describe("pixels are those of PIL's convert('RGB')", () => {
  for (const [name, { mode, width, height, rgb, white }] of Object.entries(expected)) {
    test(`${name} (${mode})`, async () => {
      const image = await decodeImage(read(name), { ...at, alpha: 'drop' });
      expect([image.width, image.height]).toEqual([width, height]);
      if (name !== HALVED_CHROMA) {
        expect(worstOf(image.data, Buffer.from(rgb, 'hex'))).toBeLessThanOrEqual(BOUND[name] ?? 0);
      }
      expect(image.hasWhiteGround).toBe(false);
    });

    test(`${name} (${mode}), transparency on white`, async () => {
      const image = await decodeImage(read(name), at);
      if (name !== HALVED_CHROMA) {
        expect(worstOf(image.data, Buffer.from(white ?? rgb, 'hex'))).toBeLessThanOrEqual(BOUND[name] ?? 0);
      }
      expect(image.hasWhiteGround).toBe(white !== undefined && white !== rgb);
    });
  }

  test('every shade under every opacity', async () => {
    const [{ data }, wanted] = [
      await decodeImage(read('every_alpha.png'), at),
      await decodeImage(read('every_alpha_white.png'), at),
    ];
    expect(worstOf(data, wanted.data)).toBe(0);
  });

  test('an AVIF with halved chroma has the brightness of PIL', async () => {
    const { data } = await decodeImage(read(HALVED_CHROMA), at);
    const wanted = Buffer.from(expected[HALVED_CHROMA]!.rgb, 'hex');
    const brightness = (rgb: Uint8Array, i: number) => 0.299 * rgb[i]! + 0.587 * rgb[i + 1]! + 0.114 * rgb[i + 2]!;
    const isClipped = (rgb: Uint8Array, i: number) => [0, 1, 2].some((c) => rgb[i + c] === 0 || rgb[i + c] === 255);
    let compared = 0;
    for (let i = 0; i < wanted.length; i += 3) {
      if (isClipped(data, i) || isClipped(wanted, i)) continue;
      compared++;
      // Three roundings of half a step on either side, weighted by 0.299, 0.587 and 0.114, and one of fixed point.
      expect(Math.abs(brightness(data, i) - brightness(wanted, i))).toBeLessThanOrEqual(2);
    }
    expect(compared).toBeGreaterThan(wanted.length / 3 / 2);
  });

  test('a frame keeps its place on a canvas of the size of a screen', async () => {
    const small = await decodeImage(read('small_frame.gif'), at);
    const bytes = Buffer.from(read('small_frame.gif'));
    bytes.writeUInt16LE(640, 6);
    bytes.writeUInt16LE(480, 8);
    const { width, height, data } = await decodeImage(bytes, at);
    expect([width, height]).toEqual([640, 480]);
    const pixel = (of: { width: number; data: Uint8Array }, x: number, y: number) =>
      of.data.subarray(3 * (y * of.width + x), 3 * (y * of.width + x) + 3);
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += y < small.height ? 1 : 39) {
        const isInside = x < small.width && y < small.height;
        const wanted = isInside ? pixel(small, x, y) : pixel(small, 0, 0);
        if (pixel({ width, data }, x, y).join() !== wanted.join()) throw new Error(`differs at ${x}, ${y}`);
      }
    }
  });

  test('a black drawing on a transparent ground is not all black', async () => {
    const { data, hasWhiteGround } = await decodeImage(read('drawing.png'), at);
    expect([new Set(data), hasWhiteGround]).toEqual([new Set([0, 255]), true]);
  });
});

async function expectRefusedWhenCut(bytes: Uint8Array): Promise<void> {
  for (const share of [0.05, 0.5, 0.9, 0.99]) {
    const cut = bytes.subarray(0, Math.max(32, Math.floor(bytes.length * share)));
    await expect(decodeImage(cut, at)).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT', where: at.where });
  }
}

describe('hostile images get one clear error', () => {
  const pixels = { create: { width: 60, height: 40, channels: 3, background: '#345678' } } as const;

  test('truncated JPEG, PNG, WebP', async () => {
    const noisy = sharp({ create: { ...pixels.create, noise: { type: 'gaussian', mean: 128, sigma: 60 } } });
    for (const bytes of [await noisy.jpeg().toBuffer(), await noisy.png().toBuffer(), await noisy.webp().toBuffer()]) {
      await expectRefusedWhenCut(bytes);
    }
  });

  test.each([
    'rgb.bmp',
    'palette.bmp',
    'alpha_v5.bmp',
    'rgb.tif',
    'lzw.tif',
    'jpeg.tif',
    'big.tif',
    'rgb444.avif',
    'rgba.avif',
    'animated.avif',
  ])('truncated %s', async (name) => expectRefusedWhenCut(read(name)));

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
    ['HEIC', Buffer.from('00000018667479706865696300000000', 'hex')],
    ['two letters', Buffer.from('BM, that is short for something else')],
    ['PDF', Buffer.from('%PDF-1.7')],
  ])('%s is not on the list of formats', async (_name, bytes) => {
    await expect(decodeImage(bytes, at)).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where: at.where });
  });

  test.each([
    ['refused_ycbcr.tif', 'YCbCr colours without JPEG compression'],
    ['refused_zstd.tif', 'compression 50000'],
  ])('%s: a kind of TIFF that is not read', async (name, why) => {
    const opened = decodeImage(read(name), at);
    await expect(opened).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where: at.where });
    await expect(opened).rejects.toThrow(why);
  });

  test('a PNG signature with rubbish behind it', async () => {
    const bytes = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(500, 7)]);
    await expect(decodeImage(bytes, at)).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT' });
  });

  const flipped = [
    'rgb.jpg',
    'rle8.bmp',
    'rgb565.bmp',
    'lzw.tif',
    'rgb16.tif',
    'big.tif',
    'rgba.avif',
    'small_frame.gif',
    'rgba.webp',
  ];
  test.each(flipped)('%s with bytes flipped: an image or the one error, never a hang or a crash', async (name) => {
    const good = read(name);
    for (let i = 0; i < 60; i++) {
      const bytes = Buffer.from(good);
      bytes[(i * 7919) % bytes.length] = (i * 31) % 256;
      // The first bytes hold the sizes and offsets.
      bytes[(i * 13) % 96] = (i * 57) % 256;
      await decodeImage(bytes, { ...at, maxPixels: 1_000_000 }).then(
        (image) => expect(image.data.length).toBe(image.width * image.height * 3),
        (error: unknown) => expect(error).toMatchObject({ code: expect.stringMatching(/^E_IMAGE_/) }),
      );
    }
  });

  test.each(['rgb.bmp', 'rgb.tif', 'rgb444.avif', 'animated.gif'])('%s of a size that nobody has', async (name) => {
    const bytes = Buffer.from(read(name));
    const [width, height] = PLACES_OF_SIZE[name]!(bytes);
    for (const place of [width, height]) place.set(Buffer.alloc(place.length, 0x7f));
    const opened = decodeImage(bytes, at);
    await expect(opened).rejects.toMatchObject({ code: 'E_IMAGE_TOO_LARGE', where: at.where });
  });
});

/** Where a file of test/data/pil states its width and its height. */
const PLACES_OF_SIZE: Readonly<Record<string, (bytes: Buffer) => readonly [Buffer, Buffer]>> = {
  'rgb.bmp': (bytes) => [bytes.subarray(18, 22), bytes.subarray(22, 26)],
  'rgb.tif': (bytes) => {
    const entry = (tag: number) => bytes.indexOf(Buffer.from([tag & 255, tag >> 8, 4, 0, 1, 0, 0, 0])) + 8;
    return [bytes.subarray(entry(256), entry(256) + 4), bytes.subarray(entry(257), entry(257) + 4)];
  },
  'rgb444.avif': (bytes) => {
    const start = bytes.indexOf('ispe') + 8;
    return [bytes.subarray(start, start + 4), bytes.subarray(start + 4, start + 8)];
  },
  'animated.gif': (bytes) => [bytes.subarray(6, 8), bytes.subarray(8, 10)],
};
