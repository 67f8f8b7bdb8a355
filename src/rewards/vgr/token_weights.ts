/**
 * Weights of tokens by how much they look at the image. Knows shares of attention, not losses.
 */
import type { TokenShares } from './shares.ts';

/**
 * 1 / (VGR of the token), smoothed, divided by its mean and clipped to [0.2, 3]: JuncyLu/trl_DAPO, src/utils/attention_token_weights.py.
 *
 * @param sigma of the Gaussian, in tokens; 0 does not smooth
 * @returns [T]
 */
export function tokenWeights({ text, image, textTokens, imageTokens }: TokenShares, sigma: number): Float64Array {
  const raw = Float64Array.from(text, (share, t) => {
    const ratio = share / textTokens / (image[t]! / imageTokens + EPS);
    return 1 / ((Number.isFinite(ratio) && ratio > 0 ? ratio : 1) + EPS);
  });
  const smooth = smoothed(raw, sigma);
  const mean = smooth.reduce((sum, weight) => sum + weight, 0) / smooth.length;
  return smooth.map((weight) => Math.min(MOST, Math.max(LEAST, mean > LEAST_MEAN ? weight / mean : weight)));
}

// --- internal ---

const EPS = 1e-6;
const LEAST_MEAN = 1e-12;
const [LEAST, MOST] = [0.2, 3];

/** A Gaussian over 3 sigma to each side; beyond the ends the first and the last value go on. */
function smoothed(values: Float64Array, sigma: number): Float64Array {
  if (sigma <= 0 || values.length <= 2) return values;
  const half = Math.max(1, Math.trunc(3 * sigma));
  const kernel = Float64Array.from({ length: 2 * half + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - half) / (sigma + EPS)) ** 2),
  );
  const total = kernel.reduce((sum, value) => sum + value, 0);
  return values.map((_, t) => {
    let sum = 0;
    for (const [i, weight] of kernel.entries()) {
      const at = Math.min(values.length - 1, Math.max(0, t + i - half));
      sum += (weight / total) * values[at]!;
    }
    return sum;
  });
}
