/**
 * Loads the numbers of one completion's attention for the screen. Source of the layout: `src/attention_log/format.ts`.
 */
import type { AttentionWeights } from '../src/attention_log/values.ts';
import type { AttentionHead } from '../src/ui/api.ts';

export interface AttentionValues extends AttentionWeights {
  readonly head: AttentionHead;
  /** Each [tokens]; NaN where unknown. `image attention` is always there. */
  readonly channels: ReadonlyMap<string, Float32Array>;
}

export const IMAGE_ATTENTION = 'image attention';

export async function loadAttention(head: AttentionHead, signal: AbortSignal): Promise<AttentionValues> {
  const response = await fetch(head.url, { signal });
  if (!response.ok) throw new Error(await response.text());
  const words = new Uint16Array(await response.arrayBuffer());
  const values = Float32Array.from(words, halfToNumber);
  const imageTokens = head.grids.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  const [tokens, layers] = [head.tokens.length, head.layers.length];
  const weights = values.subarray(0, tokens * layers * imageTokens);
  const channels = new Map<string, Float32Array>();
  channels.set(
    IMAGE_ATTENTION,
    Float32Array.from(
      { length: tokens },
      (_, t) => sumOf(weights.subarray(t * layers * imageTokens, (t + 1) * layers * imageTokens)) / Math.max(1, layers),
    ),
  );
  for (const [i, name] of head.channels.entries()) {
    const from = weights.length + i * tokens;
    channels.set(name, values.subarray(from, from + tokens));
  }
  return { head, weights, imageTokens, channels };
}

/** IEEE 754 half precision to a number. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const sumOf = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0);
