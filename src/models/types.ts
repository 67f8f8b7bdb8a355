/**
 * The model as rewards see it: the arguments and results of a forward, and the switches of a model.
 * Knows no architecture. Names are those of transformers, so that rewards written for transformers read the same.
 */
import type { AttentionTensor } from '../attention/tdr.ts';

/** Arguments of a forward, with the names of transformers. */
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
  /** One tensor (B, H, S, S) per layer, or null if the current attention implementation returns none. */
  readonly attentions: readonly AttentionTensor[] | null;
}

/** config.json as a live object: every forward reads the attention implementation from it. */
export interface ModelConfigAttributes {
  [key: string]: unknown;
  text_config?: ModelConfigAttributes | null;
  _attn_implementation?: string;
  attn_implementation?: string;
  llm_attn_implementation?: string;
}

/** The policy. Its forward keeps nothing for a backward; other frameworks call this running without gradients. */
export interface PolicyModel {
  readonly config: ModelConfigAttributes;
  /** True if blocks are always recomputed. False otherwise; if memory decides, the two calls below have no effect. */
  readonly is_gradient_checkpointing: boolean;
  gradient_checkpointing_disable(): void;
  gradient_checkpointing_enable(): void;
  forward(kwargs: ModelKwargs): Promise<ForwardOutput>;
}
