/**
 * Colours of the numbers of a channel: viridis from the lowest to the highest number; for signed ones two hues on both sides of 0.
 */
import { VIRIDIS_GRADIENT, viridis } from '../src/util/viridis.ts';

export interface ColourScale {
  readonly isSigned: boolean;
  /** The numbers at both ends of the colours. Equal if the channel is constant. */
  readonly low: number;
  readonly high: number;
}

/** The scale of the finite numbers; null if there is none. The ends of a signed scale are equally far from 0. */
export function scaleOf(values: Iterable<number>, isSigned: boolean): ColourScale | null {
  const known = [...values].filter(Number.isFinite);
  if (known.length === 0) return null;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  if (!isSigned) return { isSigned, low, high };
  const size = Math.max(-low, high, 0);
  return { isSigned, low: size === 0 ? 0 : -size, high: size };
}

/** Style of text on the colour of a number; none for NaN and for a constant channel. */
export function colourOf({ isSigned, low, high }: ColourScale, value: number): { background?: string; color?: string } {
  if (Number.isNaN(value) || low === high) return {};
  const share = Math.max(0, Math.min(1, (value - low) / (high - low)));
  if (!isSigned) {
    const rgb = viridis(share);
    return { background: `rgb(${rgb.join(' ')})`, color: luminance(rgb) > EVEN ? '#000' : '#fff' };
  }
  const side = share < 0.5 ? '--below' : '--above';
  return {
    background: `color-mix(in srgb, var(${side}) ${(STRONGEST * Math.abs(2 * share - 1)).toFixed(1)}%, var(--ground))`,
  };
}

/** The scale as a CSS gradient, in the colours of `colourOf`. */
export function gradientOf({ isSigned }: ColourScale): string {
  if (!isSigned) return VIRIDIS_GRADIENT;
  const end = (side: string): string => `color-mix(in srgb, var(${side}) ${STRONGEST}%, var(--ground))`;
  return `linear-gradient(90deg, ${end('--below')}, var(--ground), ${end('--above')})`;
}

// --- internal ---

/** Percent of a hue in the strongest colour: the page's own text stays readable on it. */
const STRONGEST = 60;

/** The luminance on which black and white are equally readable: (EVEN + 0.05)² = 1.05 · 0.05. */
const EVEN = Math.sqrt(1.05 * 0.05) - 0.05;

/** Relative luminance of sRGB, from 0 to 1. Source: WCAG 2.2. */
function luminance(rgb: readonly number[]): number {
  const [red, green, blue] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}
