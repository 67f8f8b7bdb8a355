/**
 * The model as the rest of the project sees it: what a forward takes, what it returns, which switches it has.
 * Knows no architecture; names are those of transformers, so that rewards written for it read the same.
 */
import type { AttentionTensor } from '../attention/tdr.ts';

/** Arguments of a forward, by the names transformers gives them. */
export interface ModelKwargs {
  /** B rows of equal length S. */
  input_ids: Int32Array[];
  /** B rows of S: 1 for a token, 0 for padding. All ones if absent. */
  attention_mask?: Int32Array[];
  /** Per image: (t*h*w, channels * temporal patch * patch * patch). */
  pixel_values?: Float32Array[];
  /** Per image: t, h, w in patches. */
  image_grid_thw?: (readonly [number, number, number])[];
  /** Return every layer's weights; only the eager implementation has them. */
  output_attentions?: boolean;
  /** Compute logits for the last N positions only; 0 or absent: all. */
  logits_to_keep?: number;
}

export interface ForwardOutput {
  /** (B, positions kept, vocabulary). */
  readonly logits: { readonly data: Float32Array; readonly dims: readonly number[] } | null;
  /** One (B, H, S, S) a layer, or null if the implementation in force returns none. */
  readonly attentions: readonly AttentionTensor[] | null;
}

/** config.json as a live object: the attention implementation is read from here at every forward. */
export interface ModelConfigAttributes {
  [key: string]: unknown;
  text_config?: ModelConfigAttributes | null;
  _attn_implementation?: string;
  attn_implementation?: string;
  llm_attn_implementation?: string;
}

/** The policy. A forward keeps nothing for a backward: it is what other frameworks call running without gradients. */
export interface PolicyModel {
  readonly config: ModelConfigAttributes;
  /** Whether blocks are always recomputed; false too where that depends on memory, and then the two calls change nothing. */
  readonly is_gradient_checkpointing: boolean;
  gradient_checkpointing_disable(): void;
  gradient_checkpointing_enable(): void;
  forward(kwargs: ModelKwargs): Promise<ForwardOutput>;
}
