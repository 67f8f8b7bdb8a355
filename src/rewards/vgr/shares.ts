/**
 * The vision-text gain ratio of a completion from its attention on spans. Knows numbers, not rewards.
 */
import type { SpanAttention } from '../../attention/spans/need.ts';

/** Of each token, the mean over layers of its attention on question and image, relative to all prompt tokens but the first. */
export interface TokenShares {
  /** [T] */
  readonly text: Float64Array;
  readonly image: Float64Array;
  /** Number of tokens of question and image. */
  readonly textTokens: number;
  readonly imageTokens: number;
}

/** Shares of a completion; a text if it has none: the reason. */
export function sharesOf({ layers, masses, columns, reasons }: SpanAttention): TokenShares | string {
  const { question, image, prompt, first } = masses;
  if (!question || !image || !prompt || !first) return Object.values(reasons)[0] ?? 'a span is missing';
  const tokens = prompt[0]?.length ?? 0;
  if (tokens === 0) return 'the completion is empty';
  const relative = (span: readonly Float32Array[]): Float64Array =>
    Float64Array.from({ length: tokens }, (_, t) => {
      let sum = 0;
      for (const layer of layers.keys()) {
        const total = prompt[layer]![t]! - first[layer]![t]!;
        sum += span[layer]![t]! / (total > LEAST_TOTAL ? total : 1);
      }
      return sum / layers.length;
    });
  return {
    text: relative(question),
    image: relative(image),
    textTokens: columns.question!,
    imageTokens: columns.image!,
  };
}

/** (attention per token of the question) / (attention per visual token), means over tokens; null without attention on the image. */
export function ratioOf({ text, image, textTokens, imageTokens }: TokenShares): number | null {
  const density = (shares: Float64Array, count: number): number =>
    shares.reduce((sum, share) => sum + share, 0) / shares.length / count;
  const onImage = density(image, imageTokens);
  return onImage <= EPS ? null : density(text, textTokens) / onImage;
}

// --- internal ---

const EPS = 1e-8;
const LEAST_TOTAL = 1e-12;
