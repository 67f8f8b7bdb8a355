/**
 * Attention of one decode step: each completion has one query, which attends to the prompt's keys (shared by its group) and
 * to the completion's own tokens so far. Knows a rectangle of slots, G groups x R rows; not which completion a slot holds.
 */
import { add } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { concat, reshape, slice, transpose } from '../graph/ops/movement.ts';
import { mean, softmax } from '../graph/ops/reduce.ts';
import { type Dim, mulDims } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import type { Heads } from './attention.ts';

export interface DecodeAttentionInputs {
  /** One row per slot, group by group: [G*R, heads * d]. */
  readonly q: Value;
  /** Keys and values of the prompts, one per group: [G, kvHeads, P, d]. */
  readonly kPrompt: Value;
  readonly vPrompt: Value;
  /** Keys and values of the completions: [G, kvHeads, R, T, d]. */
  readonly kOwn: Value;
  readonly vOwn: Value;
  /** [G, P + T]: -inf beyond the end of a shorter prompt and for tokens still to come, else 0. */
  readonly unseen: Value;
  /** Spans of prompt columns to measure: [G, P, spans], 1 where a column belongs to the span. */
  readonly indicator?: Value;
}

/** -> out [G*R, heads * d], and with an indicator masses [G*R, spans] on its spans, mean over heads. */
export function decodeAttention(x: DecodeAttentionInputs, { heads, kvHeads, headDim }: Heads) {
  const repeat = heads / kvHeads;
  const alpha = 1 / Math.sqrt(headDim);
  // The rows of a group become the rows of one product, so the prompt's keys are read once.
  const together = (rows: Value, width: Dim): Value => reshape(rows, ['G', kvHeads, mulDims(repeat, 'R'), width]);
  const apart = (rows: Value, width: Dim): Value => reshape(rows, ['G', kvHeads, 'R', repeat, width]);

  const queries = transpose(reshape(x.q, ['G', 'R', kvHeads, repeat, headDim]), [0, 2, 1, 3, 4]);
  const onPrompt = matmul(together(queries, headDim), x.kPrompt, { transB: true, alpha }); // [G, KV, repeat * R, P]
  const onOwn = matmul(queries, x.kOwn, { transB: true, alpha }); // [G, KV, R, repeat, T]
  const scores = concat([apart(onPrompt, 'P'), onOwn], -1);
  const weights = softmax(add(scores, reshape(x.unseen, ['G', 1, 1, 1, 'P+T'])));

  const promptWeights = together(slice(weights, -1, 0, 'P'), 'P');
  const fromPrompt = apart(matmul(promptWeights, x.vPrompt), headDim);
  const fromOwn = matmul(slice(weights, -1, 'P', 'P+T'), x.vOwn);
  const mixed = add(fromPrompt, fromOwn); // [G, KV, R, repeat, d]
  const out = reshape(transpose(mixed, [0, 2, 1, 3, 4]), ['G*R', heads * headDim]);
  if (x.indicator === undefined) return { out, masses: null };

  const spans = x.indicator.shape[2]!;
  const perHead = matmul(promptWeights, reshape(x.indicator, ['G', 1, 'P', spans]));
  return { out, masses: reshape(mean(apart(perHead, spans), [1, 3]), ['G*R', spans]) };
}
