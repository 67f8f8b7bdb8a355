/**
 * What follows the last block as modules: log-probabilities and entropies of given tokens, and plain logits.
 * Knows hidden rows and the head's weight; sampling is in sampling.ts.
 */
import type { Module } from '../graph/module.ts';
import { exp, mul, neg } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { reshape } from '../graph/ops/movement.ts';
import { rmsNorm } from '../graph/ops/norm.ts';
import { logSoftmax, logSoftmaxAt } from '../graph/ops/reduce.ts';
import type { Dim } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import type { TextConfig } from '../models/architecture.ts';
import { EMBEDDING, FINAL_NORM, HEAD, HEAD_LAYER } from '../models/names.ts';
import { layerOf } from '../nn/adapter.ts';
import { linear } from '../nn/linear.ts';
import type { NameOf } from './bindings.ts';

/** What a head has to know of the model. */
export type HeadSizes = Pick<TextConfig, 'hiddenSize' | 'vocabSize' | 'rmsNormEps'>;

/** Rows of the packed batch. */
export const ROWS = 'N';
const N = ROWS;

/** Where the head's tensors are: a tied head is the embedding table. Its adapters are its own. */
export const headName =
  ({ tieWordEmbeddings }: Pick<TextConfig, 'tieWordEmbeddings'>): NameOf =>
  (param) => {
    if (param === 'norm.weight') return FINAL_NORM;
    if (param === 'head.weight') return tieWordEmbeddings ? EMBEDDING : HEAD;
    return param.replace(/^head\b/, HEAD_LAYER);
  };

/**
 * Log-probability of one target per row, and the entropy of the row's distribution.
 * hidden [N, h], target int32 [N], inverseTemperature [] -> logp [N, 1], entropy [N, 1]; kept: the logarithm of the whole
 * distribution, logps [N, vocab].
 */
export function scoringHead(config: HeadSizes): Module {
  const { hiddenSize: h, vocabSize, rmsNormEps } = config;
  return {
    name: 'scoring head',
    params: { 'norm.weight': [h], 'head.weight': [vocabSize, h] },
    inputs: { hidden: [N, h] },
    constants: { target: { shape: [N], dtype: 'int32' }, inverseTemperature: { shape: [] } },
    keeps: ['logps'],
    build: (w) => {
      const normed = rmsNorm(w.hidden!, w['norm.weight']!, rmsNormEps);
      // Temperature on the rows of the stream: [N, h] is less to go through than [N, vocab].
      const logits = linear(mul(normed, w.inverseTemperature!), layerOf(w, 'head'));
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
    params: { 'norm.weight': [h], 'head.weight': [vocabSize, h] },
    inputs: { hidden: [N, h] },
    constants: {},
    build: (w) => ({ logits: linear(rmsNorm(w.hidden!, w['norm.weight']!, rmsNormEps), layerOf(w, 'head')) }),
  };
}
