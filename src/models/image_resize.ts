/**
 * Bicubic resampling of 8-bit RGB pixels with antialiasing, byte for byte equal to the reference processor.
 * Knows pixels and fixed-point rounding, not the size that an image should have.
 */
import { createPause, type Pause } from '../util/event_loop.ts';

/** 8-bit RGB, rows from the top, channels interleaved: data.length is width * height * 3. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/**
 * The most pixels an image may have, before and after resizing. Enough for a 50-megapixel phone camera, and a guard against
 * a small compressed file, or a limit with too many zeros, that would exhaust memory.
 */
export const MAX_IMAGE_PIXELS = 64_000_000;

/** Cubic convolution with a = -0.5, as in torch's antialiased path and in Pillow. */
const A = -0.5;
const SUPPORT = 2;

/**
 * Resizes to exactly width x height. A photograph takes tenths of a second, during which the event loop keeps running.
 *
 * There are two passes, horizontal then vertical, each rounded to 8 bits; a pass that changes nothing is skipped. The
 * algorithm is Pillow's (src/libImaging/Resample.c) with the weights of torch's 8-bit kernel, which the reference processor
 * calls through torchvision (aten/src/ATen/native/cpu/UpSampleKernel.cpp). They are 16-bit integers with as many fraction
 * bits as the largest weight of the pass allows; Pillow has 22 fraction bits. The two differ by one step in a few pixels
 * per thousand.
 */
export async function resizeBicubic(image: RgbImage, width: number, height: number): Promise<RgbImage> {
  const pause = createPause();
  let current = image;
  if (width !== current.width)
    current = await horizontal(current, width, fixedPoint(plan(current.width, width)), pause);
  if (height !== current.height)
    current = await vertical(current, height, fixedPoint(plan(current.height, height)), pause);
  return current;
}

// --- internal ---

/** The input pixels that each output pixel reads, and their normalised weights. */
interface Plan {
  readonly starts: Int32Array; // [out]
  readonly counts: Int32Array; // [out]
  readonly weights: Float64Array; // [out, taps]
  readonly taps: number;
}

interface FixedPlan extends Omit<Plan, 'weights'> {
  readonly weights: Int32Array; // [out, taps], scaled by 2^bits
  readonly bits: number;
}

function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
}

/** When shrinking, the filter is stretched by the scale; this is the antialiasing. */
function plan(inputSize: number, outputSize: number): Plan {
  const scale = inputSize / outputSize;
  const stretch = Math.max(scale, 1);
  const support = SUPPORT * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outputSize);
  const counts = new Int32Array(outputSize);
  const weights = new Float64Array(outputSize * taps);
  for (let out = 0; out < outputSize; out++) {
    const center = (out + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const count = Math.min(Math.trunc(center + support + 0.5), inputSize) - start;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const weight = cubic((i + start - center + 0.5) * (1 / stretch));
      weights[out * taps + i] = weight;
      sum += weight;
    }
    for (let i = 0; i < count; i++) weights[out * taps + i]! /= sum;
    starts[out] = start;
    counts[out] = count;
  }
  return { starts, counts, weights, taps };
}

function fixedPoint({ starts, counts, weights, taps }: Plan): FixedPlan {
  const bits = fractionBits(weights);
  const scaled = Int32Array.from(weights, (weight) => Math.trunc(weight * 2 ** bits + (weight < 0 ? -0.5 : 0.5)));
  return { starts, counts, weights: scaled, taps, bits };
}

/** The most fraction bits (at most 22) with which the largest weight still fits a signed 16-bit integer. */
function fractionBits(weights: Float64Array): number {
  const largest = weights.reduce((a, b) => Math.max(a, b), 0);
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  return bits;
}

function clip(value: number): number {
  return Math.max(0, Math.min(value, 255));
}

async function horizontal(
  image: RgbImage,
  width: number,
  { starts, counts, weights, taps, bits }: FixedPlan,
  pause: Pause,
): Promise<RgbImage> {
  const { data, height } = image;
  const result = new Uint8Array(width * height * 3);
  const half = 1 << (bits - 1);
  for (let y = 0; y < height; y++) {
    await pause();
    for (let x = 0; x < width; x++) {
      let [r, g, b] = [half, half, half];
      let at = (y * image.width + starts[x]!) * 3;
      const end = x * taps + counts[x]!;
      for (let i = x * taps; i < end; i++) {
        const weight = weights[i]!;
        r += weight * data[at++]!;
        g += weight * data[at++]!;
        b += weight * data[at++]!;
      }
      const to = (y * width + x) * 3;
      result[to] = clip(r >> bits);
      result[to + 1] = clip(g >> bits);
      result[to + 2] = clip(b >> bits);
    }
  }
  return { width, height, data: result };
}

async function vertical(
  image: RgbImage,
  height: number,
  { starts, counts, weights, taps, bits }: FixedPlan,
  pause: Pause,
): Promise<RgbImage> {
  const { data, width } = image;
  const stride = width * 3;
  const result = new Uint8Array(stride * height);
  const sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    await pause();
    sums.fill(1 << (bits - 1));
    for (let i = 0; i < counts[y]!; i++) {
      const weight = weights[y * taps + i]!;
      const row = (starts[y]! + i) * stride;
      for (let x = 0; x < stride; x++) sums[x]! += weight * data[row + x]!;
    }
    for (let x = 0; x < stride; x++) result[y * stride + x] = clip(sums[x]! >> bits);
  }
  return { width, height, data: result };
}
