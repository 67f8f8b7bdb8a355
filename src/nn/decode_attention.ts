/**
 * Attention of one decode step: a query per live completion against its prompt's keys, which its group shares, its own
 * earlier tokens and itself. Knows a rectangle of places, groups x rows; not which completion stands at a place.
 */
import { add, mul } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { concat, reshape, slice, transpose } from '../graph/ops/movement.ts';
import { mean, softmax } from '../graph/ops/reduce.ts';
import { type Dim, mulDims } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import type { Heads } from './attention.ts';

export interface DecodeAttentionInputs {
  /** Rows of the places, group by group: q [G*R, heads * d], k and v [G*R, kvHeads * d]. */
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  /** Once a group: [G, kvHeads, P, d]. */
  readonly kPrompt: Value;
  readonly vPrompt: Value;
  /** [G, kvHeads, R, T, d] */
  readonly kOwn: Value;
  readonly vOwn: Value;
  /** 0, or -inf where a prompt is shorter than the longest [G, P], and for tokens that are still to come [T]. */
  readonly unseenPrompt: Value;
  readonly unseenOwn: Value;
  /** Spans of prompt columns to measure: [G, P, spans], 1 where a column belongs to the span. */
  readonly indicator?: Value;
}

/** -> out [G*R, heads * d], and with an indicator masses [G*R, spans] on its spans, mean over heads. */
export function decodeAttention(x: DecodeAttentionInputs, { heads, kvHeads, headDim }: Heads) {
  const repeat = heads / kvHeads;
  const alpha = 1 / Math.sqrt(headDim);
  // [G*R, kvHeads * per * d] -> [G, KV, R, per, d]
  const byHead = (rows: Value, per: number): Value =>
    transpose(reshape(rows, ['G', 'R', kvHeads, per, headDim]), [0, 2, 1, 3, 4]);
  // All rows of a group as the rows of one product, so that the prompt's keys are read once.
  const together = (rows: Value, width: Dim): Value => reshape(rows, ['G', kvHeads, mulDims(repeat, 'R'), width]);
  const apart = (rows: Value, width: Dim): Value => reshape(rows, ['G', kvHeads, 'R', repeat, width]);

  const queries = byHead(x.q, repeat);
  const onPrompt = add(
    matmul(together(queries, headDim), x.kPrompt, { transB: true, alpha }),
    reshape(x.unseenPrompt, ['G', 1, 1, 'P']),
  );
  const onOwn = add(matmul(queries, x.kOwn, { transB: true, alpha }), x.unseenOwn); // [G, KV, R, repeat, T]
  const onItself = matmul(queries, byHead(x.k, 1), { transB: true, alpha }); // [G, KV, R, repeat, 1]
  const weights = softmax(concat([apart(onPrompt, 'P'), onOwn, onItself], -1));

  const promptWeights = together(slice(weights, -1, 0, 'P'), 'P');
  const fromPrompt = apart(matmul(promptWeights, x.vPrompt), headDim);
  const fromOwn = matmul(slice(weights, -1, 'P', 'P+T'), x.vOwn);
  const fromItself = mul(slice(weights, -1, 'P+T', 'P+T+1'), byHead(x.v, 1));
  const mixed = add(add(fromPrompt, fromOwn), fromItself); // [G, KV, R, repeat, d]
  const out = reshape(transpose(mixed, [0, 2, 1, 3, 4]), ['G*R', heads * headDim]);
  if (x.indicator === undefined) return { out, masses: null };

  const spans = x.indicator.shape[2]!;
  const perHead = matmul(promptWeights, reshape(x.indicator, ['G', 1, 'P', spans]));
  return { out, masses: reshape(mean(apart(perHead, spans), [1, 3]), ['G*R', spans]) };
}
