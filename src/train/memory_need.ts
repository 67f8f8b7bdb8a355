/**
 * Estimates a run's memory part by part from the checkpoint's config and headers and the run's sizes (docs/memory.md).
 * Reads no weights and measures nothing. Does not know the machine.
 */

import { BLOCK_ROWS, DECODE_LIMITS } from '../engine/decode_cost.ts';
import { productBytes, tapeWidths } from '../engine/layer_tape.ts';
import { bytesHeld } from '../engine/parameters.ts';
import { productBudget } from '../engine/residual_budget.ts';
import { type ImagePatches, patchesOf } from '../engine/vision_inputs.ts';
import type { TextConfig } from '../models/architecture.ts';
import { sizeOf } from '../runtime/tensor.ts';
import type { PreparedPolicy } from './policy.ts';

export interface MemoryPart {
  /** Name of the part, for messages. */
  readonly what: string;
  /** Bytes that the part takes at least. */
  readonly least: number;
  /** Bytes that the part is expected to take. */
  readonly likely: number;
}

/** The parts of a policy that the estimate depends on. */
export type MeasuredPolicy = Pick<PreparedPolicy, 'modelConfig' | 'tensors' | 'streams' | 'heldBytes' | 'isTrained'>;

/** Sizes of a rollout with completions of maximum length. */
export interface SamplingSizes {
  readonly prompts: number;
  /** Per prompt. */
  readonly promptTokens: number;
  /** Per prompt. */
  readonly completions: number;
  /** Per completion. */
  readonly completionTokens: number;
}

/** Node.js and ONNX Runtime without any model. */
export function programMemory(): MemoryPart {
  return { what: 'the program', least: 64 * MIB, likely: 200 * MIB };
}

export function weightsMemory(what: string, policy: MeasuredPolicy): MemoryPart {
  return exactly(what, weightBytes(policy));
}

/** Gradients and AdamW's two moments of the trained parameters. */
export function trainingMemory(policy: MeasuredPolicy): MemoryPart[] {
  const trained = trainedBytes(policy);
  return [exactly('gradients', trained), exactly("AdamW's moments", 2 * trained)];
}

/** The KV cache, logits, and copies of weights in a layout that is faster for few rows. */
export function samplingMemory(policy: MeasuredPolicy, sizes: SamplingSizes): MemoryPart[] {
  const { text } = policy.modelConfig;
  const perToken = 2 * FLOAT * text.numHiddenLayers * text.numKeyValueHeads * text.headDim;
  const sequences = sizes.prompts * sizes.completions;
  // Keys and values of completions exist twice while a full cache is copied into a larger one.
  const kv = perToken * (sizes.prompts * sizes.promptTokens + 2 * sequences * sizes.completionTokens);
  const weights = decodedBytes(text);
  const copies =
    policy.streams || policy.heldBytes !== null || weights > DECODE_LIMITS.copyBytes || sequences > BLOCK_ROWS
      ? 0
      : weights;
  return [
    expected('keys and values', kv),
    expected('copies of weights for decoding', copies),
    expected('logits', 3 * FLOAT * sequences * text.vocabSize),
  ];
}

/** The values kept for backward and its working memory, for `rows` rows (tokens). */
export function learningMemory(
  policy: MeasuredPolicy,
  rows: number,
  gradientCheckpointing: boolean | null,
): MemoryPart[] {
  const { text } = policy.modelConfig;
  const widths = Object.values(tapeWidths(text, false)).reduce((sum, width) => sum + width, 0);
  const products = productBytes(text, rows);
  const budget = productBudget(policy.heldBytes ?? FLOAT * elements(policy, () => true), trainedBytes(policy));
  const keepsProducts = gradientCheckpointing === null ? products <= budget : !gradientCheckpointing;
  const kept = FLOAT * rows * widths * text.numHiddenLayers + (keepsProducts ? products : 0);
  // Gradients of one layer's rows, and of its weights before they are accumulated.
  const working = productBytes({ ...text, numHiddenLayers: 2 }, rows) + (2 * decodedBytes(text)) / text.numHiddenLayers;
  return [expected('rows for backward', kept + working)];
}

/** A forward over `rows` rows (tokens) that keeps nothing for backward. */
export function forwardMemory({ modelConfig: { text } }: MeasuredPolicy, rows: number): MemoryPart {
  return expected('rows of a forward', productBytes({ ...text, numHiddenLayers: 2 }, rows));
}

/**
 * A forward over a whole rollout under changed images, and the images themselves: their pixels, and visual tokens of every prompt.
 *
 * @param images of a prompt
 * @param learning bytes of learning, which takes its memory at another time
 */
export function changedImageMemory(
  policy: MeasuredPolicy,
  { prompts, promptTokens, completions, completionTokens }: SamplingSizes,
  images: readonly Pick<ImagePatches, 'gridThw'>[],
  learning: number,
): MemoryPart[] {
  const { patchSize, spatialMergeSize, outHiddenSize } = policy.modelConfig.vision;
  const patches = prompts * images.reduce((sum, { gridThw }) => sum + patchesOf(gridThw), 0);
  const tokens = (FLOAT * outHiddenSize * patches) / spatialMergeSize ** 2;
  const { likely: rows } = forwardMemory(policy, prompts * (promptTokens + completions * completionTokens));
  return [
    expected('changed images', 3 * patchSize ** 2 * patches + tokens),
    expected('rows of the forward under changed images, beyond those of learning', Math.max(0, rows - learning)),
  ];
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

const weightBytes = ({ tensors, streams, heldBytes }: MeasuredPolicy): number =>
  heldBytes ?? bytesHeld(tensors, streams);

const elements = ({ tensors }: MeasuredPolicy, isCounted: (name: string) => boolean): number =>
  [...tensors].reduce((sum, [name, { shape }]) => sum + (isCounted(name) ? sizeOf(shape) : 0), 0);

const trainedBytes = (policy: MeasuredPolicy): number => FLOAT * elements(policy, (name) => policy.isTrained(name));

/** Bytes of the decoder's weight matrices and the head. */
function decodedBytes(text: TextConfig): number {
  const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim, numHiddenLayers, vocabSize } =
    text;
  const attention = hiddenSize * headDim * (2 * numAttentionHeads + 2 * numKeyValueHeads);
  return FLOAT * (numHiddenLayers * (attention + 3 * hiddenSize * intermediateSize) + vocabSize * hiddenSize);
}
