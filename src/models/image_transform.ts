/**
 * Changes of an image that take away what can be seen in it: patches blacked out, a blur. Knows 8-bit pixels and random
 * numbers, not why an image is changed.
 *
 * Sources: PAPO (Wang et al. 2025), trainer/papo_utils.py `random_patch_blackening`: every patch is black with the same
 * probability. Differs from it in the grid: patches are those of the resized image, as the vision tower cuts them; PAPO cuts
 * squares of 14 pixels from the stored image, which resizing then mixes.
 */
import type { Random } from '../util/random.ts';
import type { RgbImage } from './image_resize.ts';

export type PixelTransform =
  /** Each patch is black with the probability `ratio`. */
  | { readonly kind: 'blackout'; readonly ratio: number }
  /** Gaussian blur; `sigma` in pixels of the resized image. */
  | { readonly kind: 'blur'; readonly sigma: number };

/** A change of the pixels, or the image left out of the prompt. */
export type ImageTransform = PixelTransform | { readonly kind: 'removed' };

/** `blackout 0.6`, `blur 8`, `removed`: equal for equal changes. */
export function nameOfTransform(transform: ImageTransform): string {
  switch (transform.kind) {
    case 'blackout':
      return `blackout ${transform.ratio}`;
    case 'blur':
      return `blur ${transform.sigma}`;
    case 'removed':
      return 'removed';
  }
}

/** @param patchSize side of a patch in pixels, which divides both sides of the image */
export function transformPixels(
  image: RgbImage,
  transform: PixelTransform,
  patchSize: number,
  random: Random,
): RgbImage {
  return transform.kind === 'blackout'
    ? blackedOut(image, transform.ratio, patchSize, random)
    : blurred(image, transform.sigma);
}

// --- internal ---

function blackedOut({ width, height, data }: RgbImage, ratio: number, side: number, random: Random): RgbImage {
  const changed = data.slice();
  for (let top = 0; top < height; top += side) {
    for (let left = 0; left < width; left += side) {
      if (random.next() >= ratio) continue;
      const right = Math.min(left + side, width);
      for (let y = top; y < Math.min(top + side, height); y++) {
        changed.fill(0, 3 * (y * width + left), 3 * (y * width + right));
      }
    }
  }
  return { width, height, data: changed };
}

/** Two passes with the weights exp(-d^2 / 2 sigma^2) for |d| <= 3 sigma; border pixels are repeated, 8 bits at the end. */
function blurred({ width, height, data }: RgbImage, sigma: number): RgbImage {
  const reach = Math.ceil(3 * sigma);
  const weights = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const clamp = (value: number, end: number): number => Math.min(Math.max(value, 0), end - 1);
  const pass = (from: ArrayLike<number>, dx: 0 | 1): Float64Array => {
    const to = new Float64Array(from.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let channel = 0; channel < 3; channel++) {
          let sum = 0;
          for (let d = -reach; d <= reach; d++) {
            const [ny, nx] = dx === 1 ? [y, clamp(x + d, width)] : [clamp(y + d, height), x];
            sum += weights[d + reach]! * from[3 * (ny * width + nx) + channel]!;
          }
          to[3 * (y * width + x) + channel] = sum / total;
        }
      }
    }
    return to;
  };
  return { width, height, data: Uint8Array.from(pass(pass(data, 1), 0), Math.round) };
}
