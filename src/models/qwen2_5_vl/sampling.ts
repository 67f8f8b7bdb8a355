/**
 * Sampling inside the graph: the vocabulary-sized rows never leave it, only the chosen ids do.
 */
import type { Module } from '../../graph/module.ts';
import { add, lessOrEqual, mul, sub, toFloat, toInt, where } from '../../graph/ops/elementwise.ts';
import { takeFromRows } from '../../graph/ops/gather.ts';
import { reshape, slice } from '../../graph/ops/movement.ts';
import { rmsNorm } from '../../graph/ops/norm.ts';
import { cumulativeSum, logSoftmax, softmax, sum } from '../../graph/ops/reduce.ts';
import { argMax, topIndices, topValues } from '../../graph/ops/select.ts';
import { scalar, type Value } from '../../graph/value.ts';
import type { Linear } from '../../nn/linear.ts';
import type { TextConfig } from './config.ts';
import { entropyOf } from './text.ts';

export interface SamplingRule {
  /** The most likely token instead of a draw. */
  readonly greedy: boolean;
  /** Only the k most likely tokens; 0 or less: all. */
  readonly topK: number;
  /** Only the fewest tokens whose probabilities reach this sum; 1: all. */
  readonly topP: number;
}

/**
 * hidden [N, h], banned [vocab] (0, or -inf for ids that must not be drawn), uniform [N] in [0, 1) ->
 * id [N, 1], and logp, entropy [N, 1] of softmax(logits / temperature) with nothing left out.
 *
 * Order of the filters as in transformers' generate: temperature, top_k, top_p.
 */
export function samplingHead(config: TextConfig, rule: SamplingRule, apply: Linear): Module {
  const { hiddenSize: h, vocabSize, rmsNormEps } = config;
  return {
    name: 'sampling head',
    params: { 'norm.weight': [h], head: [vocabSize, h] },
    inputs: { hidden: ['N', h] },
    constants: { banned: { shape: [vocabSize] }, uniform: { shape: ['N'] }, inverseTemperature: { shape: [] } },
    build: (w) => {
      const normed = rmsNorm(w.hidden!, w['norm.weight']!, rmsNormEps);
      const logits = mul(apply(normed, w.head!), w.inverseTemperature!); // [N, vocab]
      const logps = logSoftmax(logits);
      const allowed = add(logits, w.banned!);
      const id = choose(allowed, reshape(w.uniform!, ['N', 1]), rule, vocabSize);
      const logp = takeFromRows(logps, toInt(reshape(id, ['N'])));
      return { id, logp, entropy: entropyOf(logps) };
    },
  };
}

// --- internal ---

/** logits [N, v], uniform [N, 1] -> id [N, 1] */
function choose(logits: Value, uniform: Value, { greedy, topK, topP }: SamplingRule, vocabSize: number): Value {
  if (greedy) return argMax(logits);
  if (topK <= 0 && topP >= 1) return draw(softmax(logits), uniform, vocabSize);
  const count = topK > 0 ? Math.min(topK, vocabSize) : vocabSize;
  const probabilities = softmax(topValues(logits, count)); // most likely first
  // A token stays while the tokens before it have not reached top_p; the first always stays.
  const before = sub(cumulativeSum(probabilities), probabilities);
  const kept = topP >= 1 ? probabilities : where(lessOrEqual(before, scalar(topP)), probabilities, 0);
  const place = draw(kept, uniform, count);
  return takeFromRows(topIndices(logits, count), toInt(reshape(place, ['N'])));
}

/** Inverse-CDF sampling: the first column whose running sum exceeds uniform · total; columns of probability 0 never win. */
function draw(probabilities: Value, uniform: Value, columns: number): Value {
  const running = cumulativeSum(probabilities);
  const target = mul(uniform, slice(running, 1, columns - 1, columns)); // [N, 1]
  return sum(toFloat(lessOrEqual(running, target)), [-1], true);
}
