/**
 * A forward without gradients that shows the attention of completions: in chosen layers, each token's weights on all columns
 * before it. They are shown layer by layer and never held for all layers at once.
 */
import { type FloatTensor, floats } from '../runtime/tensor.ts';
import { type CompletionIds, type Group, type Prompt, placed } from './groups.ts';
import { decoderInputs, type ModelParts } from './model_parts.ts';
import { packGroups } from './packed.ts';
import type { AttentionImplementation, MapRows } from './text_attention.ts';

export interface AttentionWatch {
  /** Counted from 0. */
  readonly layers: readonly number[];
  /** The heads of a layer whose weights are averaged; default all. Counted from 0, not empty. */
  readonly headsOf?: ((layer: number) => readonly number[] | null) | undefined;
  /** Called for each completion with tokens, once or more for a layer; tokens in order. The tensor must not be kept. */
  readonly onRows: (layer: number, rows: MapRows) => void;
}

/** Errors: those of the runtime. */
export async function observeAttention(
  parts: ModelParts,
  groups: readonly Group<Prompt, CompletionIds>[],
  { layers, headsOf = () => null, onRows }: AttentionWatch,
  implementation: AttentionImplementation,
): Promise<void> {
  const { decoder, modelConfig } = parts;
  const prompts = groups.map(({ prompt }) => placed(prompt, modelConfig));
  const packed = groups.map(({ completions }, g) => ({ prompt: prompts[g]!, completions }));
  const batch = packGroups(packed, { lastTokens: true });
  const { x, afterLayer } = await decoderInputs(parts, prompts, batch, { keep: false });
  const { numAttentionHeads } = modelConfig.text;
  await decoder.forward(batch, x, {
    implementation,
    keep: false,
    // Nothing reads the stream after the last block, so the block finishes one row of it.
    outputRows: Int32Array.of(batch.rows - 1),
    maps: { layers, onRows, headWeights: (layer) => meanOver(headsOf(layer), numAttentionHeads) },
    afterLayer,
  });
}

// --- internal ---

function meanOver(heads: readonly number[] | null, count: number): FloatTensor {
  const weights = new Float32Array(count);
  for (const head of heads ?? weights.keys()) weights[head] = 1 / (heads?.length ?? count);
  return floats(weights, [count]);
}
