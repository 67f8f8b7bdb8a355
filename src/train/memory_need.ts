/**
 * What a run takes in memory, part by part, from a checkpoint's config and headers and the run's sizes (docs/memory.md).
 * Reads no weight, measures nothing; what the machine has is not its business.
 */

import { BLOCK_ROWS, DECODE_LIMITS } from '../engine/decode_cost.ts';
import { productBytes, tapeWidths } from '../engine/layer_tape.ts';
import { bytesHeld } from '../engine/parameters.ts';
import { productBudget } from '../engine/residual_budget.ts';
import type { TextConfig } from '../models/architecture.ts';
import { sizeOf } from '../runtime/tensor.ts';
import type { PreparedPolicy } from './policy.ts';

export interface MemoryPart {
  /** In words, for messages. */
  readonly what: string;
  /** Bytes that it takes in any case, and those it is expected to take. */
  readonly least: number;
  readonly likely: number;
}

/** What the estimate takes from a policy. */
export type MeasuredPolicy = Pick<PreparedPolicy, 'modelConfig' | 'tensors' | 'streams' | 'isTrained'>;

/** What samples: prompts, and completions of each, at their longest. */
export interface RolloutSizes {
  readonly prompts: number;
  readonly promptTokens: number;
  readonly completions: number;
  readonly completionTokens: number;
}

/** Node.js, ONNX Runtime, and their objects. */
export function programMemory(): MemoryPart {
  return { what: 'the program', least: 64 * MIB, likely: 200 * MIB };
}

export function weightsMemory(what: string, { tensors, streams }: MeasuredPolicy): MemoryPart {
  return exactly(what, bytesHeld(tensors, streams));
}

/** Gradients and AdamW's two moments of what is trained. */
export function trainingMemory(policy: MeasuredPolicy): MemoryPart[] {
  const trained = trainedBytes(policy);
  return [exactly('gradients', trained), exactly("AdamW's moments", 2 * trained)];
}

/** Keys and values while completions are sampled, and copies of weights that few rows stream faster. */
export function samplingMemory(policy: MeasuredPolicy, sizes: RolloutSizes): MemoryPart[] {
  const { text } = policy.modelConfig;
  const perToken = 2 * FLOAT * text.numHiddenLayers * text.numKeyValueHeads * text.headDim;
  const own = sizes.prompts * sizes.completions * sizes.completionTokens;
  const places = sizes.prompts * sizes.completions;
  // Completions' own keys and values lie in two caches while one is copied into a larger one.
  const kv = perToken * (sizes.prompts * sizes.promptTokens + 2 * own);
  const weights = decodedBytes(text);
  const copies = policy.streams || weights > DECODE_LIMITS.copyBytes || places > BLOCK_ROWS ? 0 : weights;
  return [
    expected('keys and values', kv),
    expected('copies of weights for decoding', copies),
    expected('logits', 3 * FLOAT * places * text.vocabSize),
  ];
}

/** What backward starts from, of so many rows, and what it works with. */
export function learningMemory(
  policy: MeasuredPolicy,
  rows: number,
  gradientCheckpointing: boolean | null,
): MemoryPart[] {
  const { text } = policy.modelConfig;
  const widths = Object.values(tapeWidths(text, false)).reduce((sum, width) => sum + width, 0);
  const products = productBytes(text, rows);
  const budget = productBudget(FLOAT * elements(policy, () => true), trainedBytes(policy));
  const keepsProducts = gradientCheckpointing === null ? products <= budget : !gradientCheckpointing;
  const kept = FLOAT * rows * widths * text.numHiddenLayers + (keepsProducts ? products : 0);
  // Derivatives of one layer's rows, and of its weights before they are added up.
  const working = productBytes({ ...text, numHiddenLayers: 2 }, rows) + (2 * decodedBytes(text)) / text.numHiddenLayers;
  return [expected('rows for backward', kept + working)];
}

/** A forward over so many rows that keeps nothing for backward. */
export function forwardMemory({ modelConfig: { text } }: MeasuredPolicy, rows: number): MemoryPart {
  return expected('rows of a forward', productBytes({ ...text, numHiddenLayers: 2 }, rows));
}

export const totalOf = (parts: readonly MemoryPart[]): { least: number; likely: number } => ({
  least: parts.reduce((sum, { least }) => sum + least, 0),
  likely: parts.reduce((sum, { likely }) => sum + likely, 0),
});

// --- internal ---

const FLOAT = Float32Array.BYTES_PER_ELEMENT;
const MIB = 2 ** 20;

const exactly = (what: string, bytes: number): MemoryPart => ({ what, least: bytes, likely: bytes });
const expected = (what: string, bytes: number): MemoryPart => ({ what, least: 0, likely: bytes });

const elements = ({ tensors }: MeasuredPolicy, isCounted: (name: string) => boolean): number =>
  [...tensors].reduce((sum, [name, { shape }]) => sum + (isCounted(name) ? sizeOf(shape) : 0), 0);

const trainedBytes = (policy: MeasuredPolicy): number => FLOAT * elements(policy, (name) => policy.isTrained(name));

/** Of the decoder's products and the head. */
function decodedBytes(text: TextConfig): number {
  const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim, numHiddenLayers, vocabSize } =
    text;
  const attention = hiddenSize * headDim * (2 * numAttentionHeads + 2 * numKeyValueHeads);
  return FLOAT * (numHiddenLayers * (attention + 3 * hiddenSize * intermediateSize) + vocabSize * hiddenSize);
}
