/**
 * The numbers of one completion's attention, in the order of the file (`format.ts`), and their means over tokens and layers.
 */
import type { AttentionEntry } from './format.ts';

export interface AttentionWeights {
  readonly head: Pick<AttentionEntry, 'tokens'> & { readonly layers: readonly number[] };
  /** Attention weights. [tokens, layers, image tokens] */
  readonly weights: Float32Array;
  readonly imageTokens: number;
}

/**
 * Attention on each image token. [image tokens]
 *
 * @param token null for the mean over the answer
 * @param layer place among the layers; null for their mean
 */
export function attentionMap(
  { head, weights, imageTokens }: AttentionWeights,
  token: number | null,
  layer: number | null,
): Float32Array {
  const tokens = token === null ? head.tokens.map((_, t) => t) : [token];
  const layers = layer === null ? head.layers.map((_, l) => l) : [layer];
  const map = new Float32Array(imageTokens);
  for (const t of tokens) {
    for (const l of layers) {
      const from = (t * head.layers.length + l) * imageTokens;
      for (let i = 0; i < imageTokens; i++) map[i]! += weights[from + i]!;
    }
  }
  const times = Math.max(1, tokens.length * layers.length);
  return map.map((value) => value / times);
}
