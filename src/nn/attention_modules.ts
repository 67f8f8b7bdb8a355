/**
 * Attention as modules over packed rows: causal sequences, completions that share a prompt, tiles, and windows.
 * The rows of a batch follow one another without padding; only completions of unequal length are padded, inside the module.
 */
import type { Constant, Module } from '../graph/module.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { permuteRows } from '../graph/ops/gather.ts';
import { concat, expand, reshape } from '../graph/ops/movement.ts';
import type { Value } from '../graph/value.ts';
import { type AttentionOutputs, attention, causalMask, type Heads } from './attention.ts';

export interface AttentionModuleOptions {
  /** Return the weights [heads, rows, columns] as well. */
  readonly weights?: boolean;
  /** Measure the attention mass on this many spans. */
  readonly spans?: number;
  /** Return the weights of all columns, summed over the heads with a number for each, as well. */
  readonly map?: boolean;
}

/** One causal sequence: q [T, ·] against k, v [S, ·]; a row sees the columns up to its own position. */
export function causalAttention(
  heads: Heads,
  { weights = false }: Pick<AttentionModuleOptions, 'weights'> = {},
): Module {
  const { queryWidth, keyWidth } = widths(heads);
  return {
    name: 'causal attention',
    params: {},
    inputs: { q: ['T', queryWidth], k: ['S', keyWidth], v: ['S', keyWidth] },
    constants: {
      rowPositions: { shape: ['T'], dtype: 'int32' },
      columnPositions: { shape: ['S'], dtype: 'int32' },
    },
    build: (x) => {
      const result = attention(
        {
          q: batchOfOne(x.q!),
          k: batchOfOne(x.k!),
          v: batchOfOne(x.v!),
          mask: causalMask(x.rowPositions!, x.columnPositions!),
        },
        heads,
      );
      return outputs(result, ['T'], { weights, columns: 'S', heads });
    },
  };
}

/**
 * Completions of one prompt: each completion attends to the prompt and to itself, and the prompt's keys and values are
 * stored once. q, k, v [C, ·] are the rows of all completions, one after another. index int32 [G, L] arranges them as a
 * rectangle, in which a gap may hold any row; filled float [G, L] is 0 in gaps, so that no cotangent comes from there;
 * inverse int32 [C] takes the rows out again. Prompt columns have position -1, so every row sees them.
 * The map keeps the rectangle: [G, L, P + L].
 */
export function sharedPromptAttention(heads: Heads, { spans = 0, map = false }: AttentionModuleOptions = {}): Module {
  const { queryWidth, keyWidth } = widths(heads);
  return {
    name: 'shared prompt attention',
    params: {},
    inputs: {
      q: ['C', queryWidth],
      k: ['C', keyWidth],
      v: ['C', keyWidth],
      kPrefix: ['P', keyWidth],
      vPrefix: ['P', keyWidth],
    },
    constants: {
      index: { shape: ['G', 'L'], dtype: 'int32' },
      filled: { shape: ['G', 'L'] },
      inverse: { shape: ['C'], dtype: 'int32' },
      rowPositions: { shape: ['L'], dtype: 'int32' },
      columnPositions: { shape: ['L+P'], dtype: 'int32' },
      ...indicatorConstant(spans, 'L+P'),
      ...headConstant(map, heads),
    },
    build: (x) => {
      const flatIndex = reshape(x.index!, ['G*L']);
      const spread = (rows: Value, width: number): Value =>
        reshape(permuteRows(rows, flatIndex, x.inverse!), ['G', 'L', width]);
      const behind = (prefix: Value, rows: Value): Value =>
        concat([expand(reshape(prefix, [1, 'P', keyWidth]), ['G', 'P', keyWidth]), spread(rows, keyWidth)], 1);
      const result = attention(
        {
          q: spread(x.q!, queryWidth),
          k: behind(x.kPrefix!, x.k!),
          v: behind(x.vPrefix!, x.v!),
          mask: causalMask(x.rowPositions!, x.columnPositions!),
          indicator: x.indicator,
          headWeights: x.headWeights,
        },
        heads,
      );
      const pack = (padded: Value, width: number): Value =>
        permuteRows(reshape(padded, ['G*L', width]), x.inverse!, flatIndex);
      return {
        out: pack(mul(result.out, reshape(x.filled!, ['G', 'L', 1])), queryWidth),
        ...(result.masses === null ? {} : { masses: pack(result.masses, spans) }),
        ...(result.map === null ? {} : { map: result.map }),
      };
    },
  };
}

/**
 * A tile of rows after a prefix: q [T, ·] sees all of kPrefix [P, ·], and k [S, ·] causally.
 * A loop over tiles holds one T x (P + S) score matrix at a time, so memory is linear in the length of the sequence.
 */
export function tiledAttention(heads: Heads, { spans = 0, map = false }: AttentionModuleOptions = {}): Module {
  const { queryWidth, keyWidth } = widths(heads);
  return {
    name: 'tiled attention',
    params: {},
    inputs: {
      q: ['T', queryWidth],
      k: ['S', keyWidth],
      v: ['S', keyWidth],
      kPrefix: ['P', keyWidth],
      vPrefix: ['P', keyWidth],
    },
    constants: {
      rowPositions: { shape: ['T'], dtype: 'int32' },
      columnPositions: { shape: ['P+S'], dtype: 'int32' },
      ...indicatorConstant(spans, 'P+S'),
      ...headConstant(map, heads),
    },
    build: (x) => {
      const result = attention(
        {
          q: batchOfOne(x.q!),
          k: batchOfOne(concat([x.kPrefix!, x.k!], 0)),
          v: batchOfOne(concat([x.vPrefix!, x.v!], 0)),
          mask: causalMask(x.rowPositions!, x.columnPositions!),
          indicator: x.indicator,
          headWeights: x.headWeights,
        },
        heads,
      );
      return outputs(result, ['T'], { weights: false, columns: 'P+S', heads });
    },
  };
}

/** Windows of equal size that attend to themselves only: q [W, T, ·] (some or all rows), k, v [W, S, ·] -> out [W, T, ·]. */
export function windowAttention(heads: Heads): Module {
  const { queryWidth, keyWidth } = widths(heads);
  return {
    name: 'window attention',
    params: {},
    inputs: { q: ['W', 'T', queryWidth], k: ['W', 'S', keyWidth], v: ['W', 'S', keyWidth] },
    constants: {},
    build: (x) => ({ out: attention({ q: x.q!, k: x.k!, v: x.v! }, heads).out }),
  };
}

// --- internal ---

const widths = ({ heads, kvHeads, headDim }: Heads) => ({ queryWidth: heads * headDim, keyWidth: kvHeads * headDim });

const indicatorConstant = (spans: number, columns: string): Record<string, Constant> =>
  spans === 0 ? {} : { indicator: { shape: [columns, spans] } };

const headConstant = (map: boolean, { heads }: Heads): Record<string, Constant> =>
  map ? { headWeights: { shape: [heads] } } : {};

const batchOfOne = (x: Value): Value => reshape(x, [1, ...x.shape]);

function outputs(
  { out, weights, masses, map }: AttentionOutputs,
  rows: readonly [string],
  wanted: { weights: boolean; columns: string; heads: Heads },
): Record<string, Value> {
  const { heads, headDim } = wanted.heads;
  return {
    out: reshape(out, [...rows, heads * headDim]),
    ...(wanted.weights ? { weights: reshape(weights, [heads, ...rows, wanted.columns]) } : {}),
    ...(masses === null ? {} : { masses: reshape(masses, [...rows, masses.shape.at(-1)!]) }),
    ...(map === null ? {} : { map: reshape(map, [...rows, wanted.columns]) }),
  };
}
