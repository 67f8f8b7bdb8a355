/**
 * The least that a training step has to compute and read: FLOP of matrix products, and bytes, from sizes alone.
 * Counts what the mathematics requires, so attention counts visible columns only. Knows nothing about graphs or time.
 */
import type { Grid, ModelConfig, TextConfig, VisionConfig } from '../src/models/architecture.ts';

export type TextSizes = Pick<
  TextConfig,
  | 'hiddenSize'
  | 'intermediateSize'
  | 'numHiddenLayers'
  | 'numAttentionHeads'
  | 'numKeyValueHeads'
  | 'headDim'
  | 'vocabSize'
>;

/** One prompt, followed by completions of equal length. */
export interface StepSizes {
  readonly prompt: number;
  readonly completions: number;
  /** Number of tokens of one completion. */
  readonly tokens: number;
}

/** A linear layer of the decoder: weight [outputs, inputs]. */
export interface LinearShape {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: boolean;
}

const FLOAT_BYTES = 4;

/** The linear layers of one decoder layer, with their names in the checkpoint. */
export function linearShapes(text: TextSizes): LinearShape[] {
  const { hiddenSize: h, intermediateSize: m } = text;
  const [q, kv] = [text.numAttentionHeads * text.headDim, text.numKeyValueHeads * text.headDim];
  return [
    { name: 'self_attn.q_proj', inputs: h, outputs: q, bias: true },
    { name: 'self_attn.k_proj', inputs: h, outputs: kv, bias: true },
    { name: 'self_attn.v_proj', inputs: h, outputs: kv, bias: true },
    { name: 'self_attn.o_proj', inputs: q, outputs: h, bias: false },
    { name: 'mlp.gate_proj', inputs: h, outputs: m, bias: false },
    { name: 'mlp.up_proj', inputs: h, outputs: m, bias: false },
    { name: 'mlp.down_proj', inputs: m, outputs: h, bias: false },
  ];
}

/**
 * Pairs of a row and a column that it sees, causally: the prompt's rows once, and the completions' rows (without their last
 * tokens) on the prompt and on themselves.
 */
export function visiblePairs({ prompt, completions, tokens }: StepSizes): number {
  return triangle(prompt) + completions * ((tokens - 1) * prompt + triangle(tokens - 1));
}

/** Number of rows that predict a token: the prompt's last row, and all rows of the completions. */
export const outputRowsOf = ({ completions, tokens }: StepSizes): number => 1 + completions * (tokens - 1);

/**
 * One policy forward over prompt and completions. The head runs on completion tokens only. In the last layer, everything from
 * attention's output projection on runs only on rows that predict something.
 */
export function forwardFlop(text: TextSizes, step: StepSizes): number {
  const layer = linearFlop(rowsOf(step), layerWeights(text)) + 2 * attentionProduct(text, visiblePairs(step));
  const spared = linearFlop(rowsOf(step) - outputRowsOf(step), secondHalfWeights(text));
  return text.numHiddenLayers * layer - spared + headFlop(text, step);
}

/** Gradients with respect to activations and to weights: two products for each product of the forward. */
export const backwardFlop = (text: TextSizes, step: StepSizes): number => 2 * forwardFlop(text, step);

/**
 * The work that the backward repeats. With gradient checkpointing it repeats a layer, except for the last product of each half
 * (attention's product with the values, the MLP's down projection), whose results no gradient needs. Attention's scores
 * are always repeated, because they are never kept for all positions, and the head's logits are repeated unless the rollout
 * recorded their softmax.
 */
export function recomputedFlop(
  text: TextSizes,
  step: StepSizes,
  { gradientCheckpointing, recorded }: { gradientCheckpointing: boolean; recorded: boolean },
): number {
  const scores = attentionProduct(text, visiblePairs(step));
  const head = recorded ? 0 : headFlop(text, step);
  if (!gradientCheckpointing) return text.numHiddenLayers * scores + head;
  const down = text.hiddenSize * text.intermediateSize;
  const layer = linearFlop(rowsOf(step), layerWeights(text) - down) + scores;
  const spared = linearFlop(rowsOf(step) - outputRowsOf(step), secondHalfWeights(text) - down);
  return text.numHiddenLayers * layer - spared + head;
}

/** The prompt alone, without a head: its last row predicts the first token. */
export function prefillFlop(text: TextSizes, prompt: number): number {
  const layer = linearFlop(prompt, layerWeights(text)) + 2 * attentionProduct(text, triangle(prompt));
  return text.numHiddenLayers * layer - linearFlop(prompt - 1, secondHalfWeights(text));
}

/** All tokens of the completions: the head for each, and the layers for each except the last, which has no successor. */
export function decodeFlop(text: TextSizes, step: StepSizes): number {
  const { prompt, completions, tokens } = step;
  const pairs = completions * ((tokens - 1) * prompt + triangle(tokens - 1));
  const layer = linearFlop(completions * (tokens - 1), layerWeights(text)) + 2 * attentionProduct(text, pairs);
  return text.numHiddenLayers * layer + headFlop(text, step);
}

/** Number of weights of a layer after attention. */
const secondHalfWeights = (text: TextSizes): number =>
  linearShapes(text)
    .filter(({ name }) => name === 'self_attn.o_proj' || name.startsWith('mlp.'))
    .reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);

/** Bytes of weights that one decode step reads: the decoder's layers, the final norm and the head. */
export function decodeBytes(text: TextSizes): number {
  const { hiddenSize: h, numHiddenLayers, vocabSize } = text;
  const biases = linearShapes(text).reduce((sum, { outputs, bias }) => sum + (bias ? outputs : 0), 0);
  return FLOAT_BYTES * (numHiddenLayers * (layerWeights(text) + biases + 2 * h) + h + vocabSize * h);
}

/** Bytes of an AdamW update, which reads value, gradient and two moments, and writes value and moments. */
export const optimiserBytes = (trainedParameters: number): number => 7 * FLOAT_BYTES * trainedParameters;

/**
 * The vision tower on one image.
 *
 * @param pairs of patches that attend to each other, over all blocks
 */
export function visionFlop(vision: VisionConfig, patches: number, pairs: number): number {
  const { hiddenSize: h, intermediateSize: m, depth, spatialMergeSize, outHiddenSize } = vision;
  const embedding = linearFlop(patches, vision.inChannels * vision.temporalPatchSize * vision.patchSize ** 2 * h);
  const linears = linearFlop(patches, 4 * h * h + 3 * h * m);
  const attention = 2 * 2 * h * pairs;
  const unit = spatialMergeSize ** 2;
  const merger = linearFlop(patches / unit, (unit * h) ** 2 + unit * h * outHiddenSize);
  return embedding + depth * linears + attention + merger;
}

/** Pairs of an image's patches that attend to each other, over all blocks of its tower. */
export function visionPairs(config: ModelConfig, grid: Grid): number {
  const { layout, attends } = config.architecture.vision(config);
  const { runs } = layout(grid);
  const pairsOf = (block: number): number =>
    runs[attends(block)]!.reduce((sum, { windows, size }) => sum + windows * size * size, 0);
  return Array.from({ length: config.vision.depth }, (_, block) => pairsOf(block)).reduce((sum, n) => sum + n, 0);
}

/** Number of matrix elements in one decoder layer. */
export const layerWeights = (text: TextSizes): number =>
  linearShapes(text).reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);

/** Number of rows of the prompt and of the completions, without each completion's last token. */
export const rowsOf = ({ prompt, completions, tokens }: StepSizes): number => prompt + completions * (tokens - 1);

// --- internal ---

/** One multiplication and one addition per row and weight. */
const linearFlop = (rows: number, weights: number): number => 2 * rows * weights;

/** One of attention's two products, over all heads. */
const attentionProduct = ({ numAttentionHeads, headDim }: TextSizes, pairs: number): number =>
  2 * pairs * numAttentionHeads * headDim;

const headFlop = ({ hiddenSize, vocabSize }: TextSizes, { completions, tokens }: StepSizes): number =>
  linearFlop(completions * tokens, hiddenSize * vocabSize);

const triangle = (n: number): number => (n * (n + 1)) / 2;
