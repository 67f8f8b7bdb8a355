/**
 * Sampling inside the graph: rows of the vocabulary's size stay in it, and only the drawn ids come out.
 */
import { either } from '../graph/either.ts';
import type { Module } from '../graph/module.ts';
import { add, div, lessOrEqual, min, mul, sub, toFloat, toInt, where } from '../graph/ops/elementwise.ts';
import { softmaxEntropy } from '../graph/ops/entropy.ts';
import { takeFromRows, takeSlices } from '../graph/ops/gather.ts';
import { pad, reshape, slice } from '../graph/ops/movement.ts';
import { rmsNorm } from '../graph/ops/norm.ts';
import { cumulativeShare, logSoftmax, reduceMax, softmax, sum } from '../graph/ops/reduce.ts';
import { argMax, topIndices, topValues } from '../graph/ops/select.ts';
import { scalar, type Value } from '../graph/value.ts';
import { layerOf } from '../nn/adapter.ts';
import { LINEAR, rowsShape, type WeightForm, weightShape } from '../nn/linear.ts';
import type { HeadSizes } from './heads.ts';
import { nucleus } from './nucleus.ts';
import { blockWidth, inBlocks } from './row_blocks.ts';

export interface SamplingRule {
  /** Take the most likely token instead of drawing one. */
  readonly greedy: boolean;
  /** Draw among the k most likely tokens; 0 or less: among all. */
  readonly topK: number;
  /** Draw among the fewest tokens whose probabilities reach this sum; 1: among all. */
  readonly topP: number;
  /** Draw among tokens at least this likely, as a share of the likeliest one's probability; absent or 0: among all. */
  readonly minP?: number;
  /** Each row has a penalty for each token: a positive logit is divided by it, a negative one multiplied. */
  readonly penalises?: boolean;
  /** Each row has ids of its own that must not be drawn. */
  readonly bansByRow?: boolean;
}

export interface SamplingHead extends SamplingRule {
  /** Return the log-probabilities of all tokens, too. */
  readonly logps?: boolean;
}

/**
 * hidden [N, h] (or as rows of `form`), banned [vocab], with `bansByRow` [N, vocab] (0, or -inf for ids that must not be drawn),
 * uniform [N] in [0, 1), with `penalises` also penalty [N, vocab] ->
 * id [N, 1], and logp, entropy [N, 1] of softmax(logits / temperature) over the whole vocabulary; with `logps` also the
 * logarithm of that softmax, logps [N, vocab].
 *
 * Filters are applied in the order of transformers' generate: penalty, temperature, top_k, top_p, min_p. (Dividing by the
 * temperature first changes nothing: a penalty only scales.) They change what is drawn, not the log-probabilities.
 *
 * @param form of the head's weight
 * @param n name of the size N
 */
export function samplingHead(
  config: HeadSizes,
  { logps: wanted = false, ...rule }: SamplingHead,
  form: WeightForm,
  n = 'N',
): Module {
  const { hiddenSize: h, vocabSize, rmsNormEps } = config;
  return {
    name: 'sampling head',
    params: { 'norm.weight': [h], 'head.weight': weightShape(form, vocabSize, h) },
    inputs: { hidden: rowsShape(form, n, h) },
    constants: {
      banned: { shape: rule.bansByRow === true ? [n, vocabSize] : [vocabSize] },
      uniform: { shape: [n] },
      inverseTemperature: { shape: [] },
      ...(rule.penalises === true ? { penalty: { shape: [n, vocabSize] } } : {}),
    },
    build: (w) => {
      const normed = rmsNorm(w.hidden!, w['norm.weight']!, rmsNormEps);
      const logits = reshape(LINEAR[form](mul(normed, w.inverseTemperature!), layerOf(w, 'head')), [n, vocabSize]);
      const logps = logSoftmax(logits);
      const allowed = add(rule.penalises === true ? penalised(logits, w.penalty!) : logits, w.banned!);
      const id = choose(allowed, reshape(w.uniform!, [n, 1]), rule, vocabSize);
      const logp = takeFromRows(logps, toInt(reshape(id, [n])));
      return { id, logp, entropy: softmaxEntropy(logits, logps), ...(wanted ? { logps } : {}) };
    },
  };
}

// --- internal ---

/** Up to so many columns, one running sum is faster than two steps. */
const ONE_LEVEL = 1024;
const LARGEST_BELOW_ONE = 1 - 2 ** -24;

/**
 * Keskar et al. 2019 (CTRL, section 4.1), with transformers' treatment of negative logits (`RepetitionPenaltyLogitsProcessor`).
 * logits, penalty [N, v]
 */
function penalised(logits: Value, penalty: Value): Value {
  return where(lessOrEqual(logits, scalar(0)), mul(logits, penalty), div(logits, penalty));
}

/** Nguyen et al. 2024 (min-p): probabilities [N, v] of at least `minP` times the largest one; the others are 0. */
function likelyEnough(probabilities: Value, minP: number): Value {
  if (minP <= 0) return probabilities;
  return where(lessOrEqual(mul(reduceMax(probabilities, [-1], true), minP), probabilities), probabilities, 0);
}

/** logits [N, v], uniform [N, 1] -> id [N, 1] */
function choose(
  logits: Value,
  uniform: Value,
  { greedy, topK, topP, minP = 0 }: SamplingRule,
  vocabSize: number,
): Value {
  if (greedy) return argMax(logits);
  if (topK <= 0 || topK >= vocabSize) {
    const probabilities = softmax(logits);
    const kept = topP >= 1 ? probabilities : nucleus(probabilities, logits, topP);
    return draw(likelyEnough(kept, minP), uniform, vocabSize);
  }
  const count = topK;
  const likeliest = topValues(logits, count);
  const probabilities = softmax(likeliest);
  const kept = topP >= 1 ? probabilities : whileNotReached(probabilities, likeliest, topP);
  const place = draw(likelyEnough(kept, minP), uniform, count);
  return takeFromRows(topIndices(logits, count), toInt(reshape(place, [place.shape[0]!])));
}

/**
 * probabilities [N, k] and logits [N, k], likeliest first: a token stays if those before it sum to at most topP; the first always
 * stays. Where float32 has to do for sums of many terms, tokens as likely as the last one stay, too.
 */
function whileNotReached(probabilities: Value, logits: Value, topP: number): Value {
  const count = probabilities.shape[1] as number;
  const through = slice(cumulativeShare(probabilities), 1, 0, count - 1); // through the token before
  const before = pad(through, 1, 1, 0);
  const kept = where(lessOrEqual(before, scalar(topP)), probabilities, 0);
  if (count <= ONE_LEVEL) return kept;
  return either('float64', [probabilities, logits], kept, nucleus(probabilities, logits, topP));
}

/**
 * Inverse-CDF sampling: probabilities [N, columns] and uniform [N, 1] -> column [N, 1]. Running sums are serial, so in a long
 * row a block of columns is drawn first, then a column of that block. Each step rounds by itself; the second one always ends
 * within the block.
 */
function draw(probabilities: Value, uniform: Value, columns: number): Value {
  if (columns <= ONE_LEVEL) return firstBeyond(probabilities, uniform).place;
  const blocks = inBlocks(probabilities, columns);
  const { place: block, before, shares } = firstBeyond(sum(blocks, [-1]), uniform);
  const chosen = toInt(reshape(block, [block.shape[0]!]));
  const after = takeFromRows(shares, chosen);
  // How far into the block the draw lies. Rounding must not make it 1: the next step has to end within the block.
  const within = min(div(sub(uniform, before), sub(after, before)), LARGEST_BELOW_ONE);
  const { place } = firstBeyond(takeSlices(blocks, chosen), within);
  return add(mul(block, blockWidth(columns)), place);
}

interface Crossing {
  /**
   * The first column at which the running share exceeds the draw, [N, 1]; never a column of probability 0. Where weights are
   * NaN it is column 0: the generator finds out by the log-probability, and ends the run.
   */
  readonly place: Value;
  /** Running share of the columns before it, [N, 1]. */
  readonly before: Value;
  /** Running share through each column, [N, columns]. */
  readonly shares: Value;
}

/** weights [N, columns], uniform [N, 1] in [0, 1) */
function firstBeyond(weights: Value, uniform: Value): Crossing {
  const shares = cumulativeShare(weights); // the last one is 1, so some column exceeds any draw
  const passed = toFloat(lessOrEqual(shares, uniform));
  return { place: sum(passed, [-1], true), before: reduceMax(mul(passed, shares), [-1], true), shares };
}
