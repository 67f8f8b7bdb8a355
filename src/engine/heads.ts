/**
 * Modules that follow the last block: log-probabilities and entropies of given tokens, and plain logits.
 * Sampling has a module of its own in sampling.ts.
 */
import type { Module } from '../graph/module.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { softmaxEntropy } from '../graph/ops/entropy.ts';
import { rmsNorm } from '../graph/ops/norm.ts';
import { logSoftmax, logSoftmaxAt } from '../graph/ops/reduce.ts';
import type { TextConfig } from '../models/architecture.ts';
import { EMBEDDING, FINAL_NORM, HEAD, HEAD_LAYER } from '../models/names.ts';
import { layerOf } from '../nn/adapter.ts';
import { linear } from '../nn/linear.ts';
import type { NameOf } from './bindings.ts';

/** What a head needs to know of the model. */
export type HeadSizes = Pick<TextConfig, 'hiddenSize' | 'vocabSize' | 'rmsNormEps'>;

/** Rows of the packed batch. */
export const ROWS = 'N';
const N = ROWS;

/** Names of the head's tensors. A tied head is the embedding table; its adapter is its own. */
export const headName =
  ({ tieWordEmbeddings }: Pick<TextConfig, 'tieWordEmbeddings'>): NameOf =>
  (param) => {
    if (param === 'norm.weight') return FINAL_NORM;
    if (param === 'head.weight') return tieWordEmbeddings ? EMBEDDING : HEAD;
    return param.replace(/^head\b/, HEAD_LAYER);
  };

/**
 * Log-probability of one target per row, and the entropy of the row's distribution, softmax(logits / temperature).
 * hidden [N, h], target int32 [N], inverseTemperature [] -> logp [N, 1], entropy [N, 1].
 * Kept for backward: log-probabilities of all tokens, logps [N, vocab].
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
      // Temperature scales the rows of the stream, which are [N, h], instead of logits, which are [N, vocab].
      const logits = linear(mul(normed, w.inverseTemperature!), layerOf(w, 'head'));
      const logps = logSoftmax(logits);
      return { logp: logSoftmaxAt(logits, w.target!, logps), entropy: softmaxEntropy(logits, logps), logps };
    },
  };
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
