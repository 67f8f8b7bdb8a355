/**
 * Runs prompts before completions are sampled: their keys and values, and the rows that predict the first new tokens.
 */
import type { Tensor } from '../runtime/tensor.ts';
import { cutOn } from './attention_feeds.ts';
import type { VisualInputs } from './embeddings.ts';
import { type PlacedPrompt, type Prompt, placed } from './groups.ts';
import type { EncodedImages } from './image_features.ts';
import { decoderInputs, type ModelParts } from './model_parts.ts';
import { packGroups } from './packed.ts';
import type { Recording } from './recording.ts';
import type { AttentionImplementation } from './text_attention.ts';

/** Gets the keys and values of prompt `group` in a layer: [prompt tokens, kvHeads * d], overwritten by the next layer. */
export type OnKeysAndValues = (layer: number, group: number, k: Tensor, v: Tensor) => Promise<void>;

export interface Prefilled {
  /** Per prompt, the row that predicts its first new token: [prompts, hidden]. Valid until the next prefill. */
  readonly lastHidden: Tensor;
  /** Per prompt, the rotary position of that token, the same on all three axes. */
  readonly nextPositions: readonly number[];
  readonly prompts: readonly PlacedPrompt[];
  readonly visual: VisualInputs;
  readonly images: EncodedImages;
}

/** @param recording keeps the prompts' rows for backward, unless it keeps masses alone */
export async function prefillPrompts(
  parts: ModelParts,
  prompts: readonly Prompt[],
  onKeysAndValues: OnKeysAndValues,
  implementation: AttentionImplementation,
  recording?: Recording,
): Promise<Prefilled> {
  const { decoder, modelConfig, memory } = parts;
  const all = prompts.map((prompt) => placed(prompt, modelConfig));
  const batch = packGroups(
    all.map((prompt) => ({ prompt, completions: [] })),
    { lastTokens: false },
  );
  const taped = recording?.keeps === 'masses' ? undefined : recording;
  const layers = taped?.promptLayers;
  const cut = cutOn(memory.device);
  const { x, visual, images, afterLayer } = await decoderInputs(parts, all, batch, {
    keep: taped !== undefined,
    into: layers?.[0]?.x,
  });
  // Only the rows that predict a first token are needed after the last layer's attention.
  const lastRows = Int32Array.from(batch.groups, ({ prompt }) => prompt.start + prompt.length - 1);
  const { hidden } = await decoder.forward(batch, x, {
    implementation,
    keep: false,
    outputRows: lastRows,
    into: layers,
    afterLayer,
    onProjections: async (layer, { k, v }) => {
      for (const [g, { prompt }] of batch.groups.entries()) {
        await onKeysAndValues(layer, g, cut(k, prompt), cut(v, prompt));
      }
    },
  });
  // The decoder's own buffer: a forward over other rows must not overwrite it.
  const order = Int32Array.from(prompts.keys());
  const into = memory.workspace.get('last hidden', prompts.length, modelConfig.text.hiddenSize);
  const lastHidden = await memory.moves.gather(hidden, order, into);
  await taped?.promptsHidden(lastHidden);
  const nextPositions = all.map(({ ids, positions }) => ids.length + positions.delta);
  return { lastHidden, nextPositions, prompts: all, visual, images };
}
