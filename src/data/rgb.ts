/**
 * Converts decoded samples of any colour model and depth to 8-bit RGB as PIL does.
 * Knows numbers, not formats.
 */
import { createPause } from '../util/event_loop.ts';

/** How transparency is handled: `white` composites the image on white, `drop` ignores alpha and shows the colours under it. */
export type AlphaMode = 'white' | 'drop';

export const ALPHA_MODES = ['white', 'drop'] as const satisfies readonly AlphaMode[];

export interface Samples {
  readonly width: number;
  readonly height: number;
  /** [pixels, channels]; 8 or 16 bits each. */
  readonly data: Uint8Array | Uint16Array;
  /** 1: grey; 2: grey and alpha; 3: RGB; 4: RGB and alpha, or CMYK. */
  readonly channels: number;
  readonly isCmyk: boolean;
  /** Whether this is 16-bit grey, which PIL clips at 255, so that most of it turns white. */
  readonly isClippedGrey: boolean;
  /** Whether the last channel is alpha. */
  readonly hasAlpha: boolean;
}

export interface Rgb {
  /** [pixels, 3]. */
  readonly data: Uint8Array;
  /** Whether any pixel was not opaque and has been composited on white. */
  readonly hasWhiteGround: boolean;
}

/**
 * Keeps the high byte of 16-bit samples, except for grey, which is clipped. CMYK is converted as in PIL's
 * src/libImaging/Convert.c.
 */
export async function toRgb(samples: Samples, alpha: AlphaMode): Promise<Rgb> {
  const { data, channels, hasAlpha, isCmyk, isClippedGrey } = samples;
  const pixels = samples.width * samples.height;
  const isDeep = data instanceof Uint16Array;
  const map = isClippedGrey ? clip : isDeep ? highByte : same;
  if (isCmyk) return { data: await ofCmyk(data, pixels, channels, map), hasWhiteGround: false };
  const rgb = await ofColours(data, pixels, channels, map);
  const hasWhiteGround = hasAlpha && alpha === 'white' && (await layOnWhite(rgb, data, channels, map));
  return { data: rgb, hasWhiteGround };
}

// --- internal ---

type Map = (value: number) => number;

const same: Map = (value) => value;
const highByte: Map = (value) => value >> 8;
const clip: Map = (value) => Math.min(value, 255);

async function ofColours(data: Samples['data'], pixels: number, channels: number, map: Map): Promise<Uint8Array> {
  const rgb = new Uint8Array(pixels * 3);
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  await inBatches(pixels, (begin, end) => {
    for (let pixel = begin, from = begin * channels; pixel < end; pixel++, from += channels) {
      rgb[3 * pixel] = map(data[from]!);
      rgb[3 * pixel + 1] = map(data[from + green]!);
      rgb[3 * pixel + 2] = map(data[from + blue]!);
    }
  });
  return rgb;
}

/** Composites colours on white in place, as PIL's `alpha_composite` does (AlphaComposite.c). Returns whether any pixel was transparent. */
async function layOnWhite(rgb: Uint8Array, data: Samples['data'], channels: number, map: Map): Promise<boolean> {
  let isAnyTransparent = false;
  await inBatches(rgb.length / 3, (begin, end) => {
    for (let pixel = begin; pixel < end; pixel++) {
      const alpha = map(data[pixel * channels + channels - 1]!);
      if (alpha === 255) continue;
      isAnyTransparent = true;
      for (let at = 3 * pixel; at < 3 * pixel + 3; at++) {
        // Fixed-point division by 255, with 7 extra bits of precision.
        const scaled = 128 * (rgb[at]! * alpha + 255 * (255 - alpha) + 128);
        rgb[at] = ((scaled >> 8) + scaled) >> 15;
      }
    }
  });
  return isAnyTransparent;
}

/** CMYK to RGB with PIL's rounded division by 255 (cmyk2rgb). */
async function ofCmyk(data: Samples['data'], pixels: number, channels: number, map: Map): Promise<Uint8Array> {
  const rgb = new Uint8Array(pixels * 3);
  await inBatches(pixels, (begin, end) => {
    for (let i = begin; i < end; i++) {
      const light = 255 - map(data[i * channels + 3]!);
      for (let c = 0; c < 3; c++) {
        const product = map(data[i * channels + c]!) * light + 128;
        rgb[i * 3 + c] = Math.max(0, light - (((product >> 8) + product) >> 8));
      }
    }
  });
  return rgb;
}

/** Pixels converted before the event loop gets a turn. */
const BATCH = 2 ** 18;

async function inBatches(pixels: number, convert: (begin: number, end: number) => void): Promise<void> {
  const pause = createPause();
  for (let begin = 0; begin < pixels; begin += BATCH) {
    await pause();
    convert(begin, Math.min(pixels, begin + BATCH));
  }
}
