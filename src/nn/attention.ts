/**
 * Scaled dot-product attention with grouped key/value heads, and the attention mass on spans of columns.
 * Knows rows, columns and masks; not what they are (vision windows, prompts, completions, decode steps).
 */
import { add, lessOrEqual, where } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { concat, expand, reshape, slice, transpose } from '../graph/ops/movement.ts';
import { mean, softmax } from '../graph/ops/reduce.ts';
import { addDims, type Dim, mulDims } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';

export interface Heads {
  /** Query heads. */
  readonly heads: number;
  /** Key/value heads; each serves heads / kvHeads query heads. */
  readonly kvHeads: number;
  readonly headDim: number;
}

export interface AttentionInputs {
  /** [batch, rows, heads * headDim] */
  readonly q: Value;
  /** [batch, columns, kvHeads * headDim] */
  readonly k: Value;
  readonly v: Value;
  /** bool [rows, columns]: true where the row may see the column; absent: everywhere. */
  readonly mask?: Value;
  /** Spans whose attention mass is measured: [columns, spans], 1 where a column belongs to the span, else 0. */
  readonly indicator?: Value;
  /** Weights of the heads in a map: [heads]. */
  readonly headWeights?: Value;
}

export interface AttentionOutputs {
  /** [batch, rows, heads * headDim] */
  readonly out: Value;
  /** softmax(QKᵀ/√d): [batch, heads, rows, columns] */
  readonly weights: Value;
  /** Attention mass on each span, mean over heads: [batch, rows, spans]; null without an indicator. */
  readonly masses: Value | null;
  /** Sum of the heads' weights, each times its number: [batch, rows, columns]; null without head weights. */
  readonly map: Value | null;
}

/**
 * softmax(Q Kᵀ / √d) V (Vaswani et al. 2017). With an indicator the product is softmax(Q Kᵀ / √d) [V | indicator], so the
 * kernel that mixes the values also yields each row's mass on each span, and the weights need not be kept.
 */
export function attention(
  { q, k, v, mask, indicator, headWeights }: AttentionInputs,
  { heads, kvHeads, headDim }: Heads,
): AttentionOutputs {
  const [batch, rows] = q.shape as [Dim, Dim];
  const columns = k.shape[1]!;
  const repeat = heads / kvHeads;
  // Query heads that share a key head become rows of one product: [B, KV, repeat * T, d].
  const grouped = reshape(transpose(reshape(q, [batch, rows, kvHeads, repeat, headDim]), [0, 2, 3, 1, 4]), [
    batch,
    kvHeads,
    mulDims(repeat, rows),
    headDim,
  ]);
  const keys = splitHeads(k, kvHeads, headDim); // [B, KV, S, d]
  const values = splitHeads(v, kvHeads, headDim);

  const scores = matmul(grouped, keys, { transB: true, alpha: 1 / Math.sqrt(headDim) }); // [B, KV, repeat * T, S]
  const split = reshape(scores, [batch, kvHeads, repeat, rows, columns]);
  const seen = mask === undefined ? split : add(split, where(mask, 0, Number.NEGATIVE_INFINITY));
  const weights = softmax(seen); // [B, KV, repeat, T, S]
  const flat = reshape(weights, [batch, kvHeads, mulDims(repeat, rows), columns]);

  const join = (x: Value, width: Dim): Value =>
    transpose(reshape(x, [batch, kvHeads, repeat, rows, width]), [0, 3, 1, 2, 4]); // [B, T, KV, repeat, width]
  const allWeights = reshape(weights, [batch, heads, rows, columns]);
  const map = headWeights === undefined ? null : mapOf(allWeights, headWeights);
  const flatten = (x: Value): Value => reshape(x, [batch, rows, heads * headDim]);
  if (indicator === undefined) {
    return { out: flatten(join(matmul(flat, values), headDim)), weights: allWeights, masses: null, map };
  }
  const spans = indicator.shape[1]!;
  const marks = expand(reshape(indicator, [1, 1, columns, spans]), [batch, kvHeads, columns, spans]);
  const mixed = join(matmul(flat, concat([values, marks], -1)), addDims(headDim, spans));
  return {
    out: flatten(slice(mixed, -1, 0, headDim)),
    weights: allWeights,
    masses: mean(slice(mixed, -1, headDim, addDims(headDim, spans)), [2, 3]),
    map,
  };
}

/** Causal mask by position (int32 vectors): bool [rows, columns], true where column position <= row position. */
export function causalMask(rowPositions: Value, columnPositions: Value): Value {
  return lessOrEqual(
    reshape(columnPositions, [1, columnPositions.shape[0]!]),
    reshape(rowPositions, [rowPositions.shape[0]!, 1]),
  );
}

// --- internal ---

/** weights [B, H, T, S], numbers of the heads [H] -> [B, T, S] */
function mapOf(weights: Value, headWeights: Value): Value {
  const [batch, heads, rows, columns] = weights.shape as [Dim, Dim, Dim, Dim];
  const marks = expand(reshape(headWeights, [1, 1, heads]), [batch, 1, heads]);
  const flat = reshape(weights, [batch, heads, mulDims(rows, columns)]);
  return reshape(matmul(marks, flat), [batch, rows, columns]);
}

/** [B, S, heads * d] -> [B, heads, S, d] */
function splitHeads(x: Value, heads: number, headDim: number): Value {
  const [batch, columns] = x.shape as [Dim, Dim];
  return transpose(reshape(x, [batch, columns, heads, headDim]), [0, 2, 1, 3]);
}
