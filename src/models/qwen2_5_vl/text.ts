/**
 * The text decoder of Qwen2.5-VL as symbolic modules: what enters attention, what follows it, and the head.
 * A block is split at attention, so that the implementation of attention is a choice at call time.
 */

import { KEPT, tapeWidths } from '../../engine/layer_tape.ts';
import type { Module } from '../../graph/module.ts';
import { blockedLinear, blocksToRows, rowsToBlocks } from '../../graph/ops/blocked.ts';
import { add, exp, mul, neg } from '../../graph/ops/elementwise.ts';
import { takeRows } from '../../graph/ops/gather.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { reshape } from '../../graph/ops/movement.ts';
import { rmsNorm } from '../../graph/ops/norm.ts';
import { logSoftmax, logSoftmaxAt } from '../../graph/ops/reduce.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import type { Dim, Shape } from '../../graph/shape.ts';
import type { Value } from '../../graph/value.ts';
import { LINEAR, linear, type WeightForm, weightShape } from '../../nn/linear.ts';
import { type GatedMlp, gatedMlp, gatedMlpFewRows, gatedMlpInBlocks } from '../../nn/mlp.ts';
import type { TextConfig } from './config.ts';

/** What a head has to know of the model. */
export type HeadSizes = Pick<TextConfig, 'hiddenSize' | 'vocabSize' | 'rmsNormEps'>;

/** Rows of the packed batch. */
const N = 'N';

/** x -> rotated queries and keys, and values: x [N, hidden] -> q [N, heads * d], k and v [N, kvHeads * d]. */
export function attentionInput(config: TextConfig): Module {
  const { hiddenSize: h, numAttentionHeads, numKeyValueHeads, headDim, rmsNormEps } = config;
  const [q, kv] = [numAttentionHeads * headDim, numKeyValueHeads * headDim];
  return {
    name: 'text attention input',
    params: {
      'input_layernorm.weight': [h],
      'self_attn.q_proj.weight': [q, h],
      'self_attn.q_proj.bias': [q],
      'self_attn.k_proj.weight': [kv, h],
      'self_attn.k_proj.bias': [kv],
      'self_attn.v_proj.weight': [kv, h],
      'self_attn.v_proj.bias': [kv],
    },
    inputs: { x: [N, h] },
    constants: { cos: { shape: [N, headDim / 2] }, sin: { shape: [N, headDim / 2] } },
    build: (w) => {
      const normed = rmsNorm(w.x!, w['input_layernorm.weight']!, rmsNormEps);
      const project = (name: string) =>
        linear(normed, w[`self_attn.${name}_proj.weight`]!, w[`self_attn.${name}_proj.bias`]!);
      return {
        q: rotary(project('q'), w.cos!, w.sin!, numAttentionHeads),
        k: rotary(project('k'), w.cos!, w.sin!, numKeyValueHeads),
        v: project('v'),
      };
    },
  };
}

/**
 * Attention's result o [N, heads * d] back into the stream x [N, hidden], then the feed-forward layer.
 *
 * @param form of the weights: `left` for the few rows of a decode step
 */
export function attentionOutput(config: TextConfig, form: 'left' | 'right' = 'right'): Module {
  const { hiddenSize: h, numAttentionHeads, headDim, rmsNormEps } = config;
  return {
    name: 'text attention output',
    params: outputParams(config, form),
    inputs: { x: [N, h], o: [N, numAttentionHeads * headDim] },
    constants: {},
    keeps: KEPT,
    build: (w) => {
      const attended = add(w.x!, LINEAR[form](w.o!, w['self_attn.o_proj.weight']!));
      const normed = rmsNorm(attended, w['post_attention_layernorm.weight']!, rmsNormEps);
      const { gate, up, out } = (form === 'left' ? gatedMlpFewRows : gatedMlp)(normed, mlpOf(w));
      return { y: add(attended, out), attended, gate, up };
    },
  };
}

/**
 * The same for few rows with the weights and the stream in blocks: x [1, hidden, 1, N] and o [1, 1, N, heads * d] -> y in
 * blocks; what is kept comes as rows [1, 1, N, ·].
 */
export function attentionOutputInBlocks(config: TextConfig): Pick<Module, 'params' | 'build'> {
  return {
    params: outputParams(config, 'blocks'),
    build: (w) => {
      const attended = blockedLinear(rowsToBlocks(w.o!), w['self_attn.o_proj.weight']!, { plus: w.x! });
      const rows = blocksToRows(attended);
      const normed = rmsNorm(rows, w['post_attention_layernorm.weight']!, config.rmsNormEps);
      const { gate, up, out } = gatedMlpInBlocks(rowsToBlocks(normed), mlpOf(w), attended);
      return { y: out, attended: rows, gate: blocksToRows(gate), up: blocksToRows(up) };
    },
  };
}

/** The tensors of a layer's tape, rows picked by index: x [M, hidden] and so on, order int32 [N] -> `ordered.x` [N, hidden], … */
export function tapeInOrder(config: TextConfig, products: boolean): Module {
  const inputs = Object.fromEntries(
    Object.entries(tapeWidths(config, products)).map(([name, width]): [string, Shape] => [name, ['M', width]]),
  );
  return {
    name: 'tape in order',
    params: {},
    inputs,
    constants: { order: { shape: [N], dtype: 'int32' } },
    build: (w) =>
      Object.fromEntries(Object.keys(inputs).map((name) => [`ordered.${name}`, takeRows(w[name]!, w.order!)])),
  };
}

/**
 * Log-probability of one target per row, and the entropy of the row's distribution.
 * hidden [N, h], target int32 [N], inverseTemperature [] -> logp [N, 1], entropy [N, 1]; kept: the logarithm of the whole
 * distribution, logps [N, vocab].
 */
export function scoringHead(config: HeadSizes): Module {
  const { hiddenSize: h, vocabSize, rmsNormEps } = config;
  return {
    name: 'scoring head',
    params: { 'norm.weight': [h], head: [vocabSize, h] },
    inputs: { hidden: [N, h] },
    constants: { target: { shape: [N], dtype: 'int32' }, inverseTemperature: { shape: [] } },
    keeps: ['logps'],
    build: (w) => {
      const normed = rmsNorm(w.hidden!, w['norm.weight']!, rmsNormEps);
      // Temperature on the rows of the stream: [N, h] is less to go through than [N, vocab].
      const logits = linear(mul(normed, w.inverseTemperature!), w.head!);
      const logps = logSoftmax(logits);
      return { logp: logSoftmaxAt(logits, w.target!, logps), entropy: entropyOf(logps), logps };
    },
  };
}

/** Entropy of distributions given by their logarithms: logps [N, vocab] -> -Σ p log p [N, 1]. */
export function entropyOf(logps: Value): Value {
  const [rows, columns] = logps.shape as [Dim, Dim];
  const asRows = (x: Value): Value => reshape(x, [rows, 1, columns]);
  // A product of two rows sums without writing the summands down.
  return neg(reshape(matmul(asRows(exp(logps)), asRows(logps), { transB: true }), [rows, 1]));
}

/** hidden [N, h] -> logits [N, vocab]. */
export function logitsHead(config: HeadSizes): Module {
  const { hiddenSize: h, vocabSize, rmsNormEps } = config;
  return {
    name: 'logits head',
    params: { 'norm.weight': [h], head: [vocabSize, h] },
    inputs: { hidden: [N, h] },
    constants: {},
    build: (w) => ({ logits: linear(rmsNorm(w.hidden!, w['norm.weight']!, rmsNormEps), w.head!) }),
  };
}

// --- internal ---

function outputParams(
  { hiddenSize: h, intermediateSize, numAttentionHeads, headDim }: TextConfig,
  form: WeightForm,
): Record<string, Shape> {
  return {
    'self_attn.o_proj.weight': weightShape(form, h, numAttentionHeads * headDim),
    'post_attention_layernorm.weight': [h],
    'mlp.gate_proj.weight': weightShape(form, intermediateSize, h),
    'mlp.up_proj.weight': weightShape(form, intermediateSize, h),
    'mlp.down_proj.weight': weightShape(form, h, intermediateSize),
  };
}

const mlpOf = (w: Readonly<Record<string, Value>>): GatedMlp => ({
  gate: w['mlp.gate_proj.weight']!,
  up: w['mlp.up_proj.weight']!,
  down: w['mlp.down_proj.weight']!,
});
