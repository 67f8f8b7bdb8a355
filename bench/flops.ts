/**
 * What a training step has to compute and to read at least: matrix-product FLOP and bytes, from sizes alone.
 * Counts what the mathematics asks for, attention over visible columns only; knows nothing of graphs or time.
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

/** One prompt, and completions of equal length behind it. */
export interface StepSizes {
  readonly prompt: number;
  readonly completions: number;
  /** Tokens of one completion. */
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

/** The linear layers of one decoder layer, names as in the checkpoint. */
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
 * Pairs of a row and a column it sees: the prompt once, completions but their last tokens on prompt and themselves, all
 * causal.
 */
export function visiblePairs({ prompt, completions, tokens }: StepSizes): number {
  return triangle(prompt) + completions * ((tokens - 1) * prompt + triangle(tokens - 1));
}

/** Rows that predict a token: the prompt's last one, and all of the completions. */
export const outputRowsOf = ({ completions, tokens }: StepSizes): number => 1 + completions * (tokens - 1);

/**
 * One policy forward over prompt and completions, head on completion tokens only; the last layer's second half, from
 * attention's output product on, on rows that predict something only.
 */
export function forwardFlop(text: TextSizes, step: StepSizes): number {
  const layer = linearFlop(rowsOf(step), layerWeights(text)) + 2 * attentionProduct(text, visiblePairs(step));
  const spared = linearFlop(rowsOf(step) - outputRowsOf(step), secondHalfWeights(text));
  return text.numHiddenLayers * layer - spared + headFlop(text, step);
}

/** Gradients by activations and by weights: two products for each of the forward. */
export const backwardFlop = (text: TextSizes, step: StepSizes): number => 2 * forwardFlop(text, step);

/**
 * What backward computes again. With gradient checkpointing all of a layer but the last product of its two halves
 * (attention's product with the values, the MLP's down projection), whose results no gradient needs; attention's scores
 * in any case, because they are never kept for all positions; the head's logits unless the rollout has recorded their
 * softmax.
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

/** All tokens of the completions: the head for each, the layers for each but the last, whose successor nobody asks for. */
export function decodeFlop(text: TextSizes, step: StepSizes): number {
  const { prompt, completions, tokens } = step;
  const pairs = completions * ((tokens - 1) * prompt + triangle(tokens - 1));
  const layer = linearFlop(completions * (tokens - 1), layerWeights(text)) + 2 * attentionProduct(text, pairs);
  return text.numHiddenLayers * layer + headFlop(text, step);
}

/** Weights of a layer that follow attention. */
const secondHalfWeights = (text: TextSizes): number =>
  linearShapes(text)
    .filter(({ name }) => name === 'self_attn.o_proj' || name.startsWith('mlp.'))
    .reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);

/** Weights that one decode step reads: all of the decoder's layers, the last norm, the head. */
export function decodeBytes(text: TextSizes): number {
  const { hiddenSize: h, numHiddenLayers, vocabSize } = text;
  const biases = linearShapes(text).reduce((sum, { outputs, bias }) => sum + (bias ? outputs : 0), 0);
  return FLOAT_BYTES * (numHiddenLayers * (layerWeights(text) + biases + 2 * h) + h + vocabSize * h);
}

/** AdamW reads value, gradient and two moments, and writes value and moments. */
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

/** Matrix elements of one decoder layer. */
export const layerWeights = (text: TextSizes): number =>
  linearShapes(text).reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);

/** The prompt's rows, and those of all completion tokens but the last ones, after which nothing comes. */
export const rowsOf = ({ prompt, completions, tokens }: StepSizes): number => prompt + completions * (tokens - 1);

// --- internal ---

/** Rows through weights: a multiplication and an addition each. */
const linearFlop = (rows: number, weights: number): number => 2 * rows * weights;

/** One of attention's two products, all heads. */
const attentionProduct = ({ numAttentionHeads, headDim }: TextSizes, pairs: number): number =>
  2 * pairs * numAttentionHeads * headDim;

const headFlop = ({ hiddenSize, vocabSize }: TextSizes, { completions, tokens }: StepSizes): number =>
  linearFlop(completions * tokens, hiddenSize * vocabSize);

const triangle = (n: number): number => (n * (n + 1)) / 2;
