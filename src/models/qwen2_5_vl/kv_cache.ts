/**
 * Keys and values of a group while it decodes: the prompt's once, and a row per live completion.
 * A finished completion leaves by moving the last live row into its place; its memory is not read again.
 */
import { type FloatTensor, floats } from '../../runtime/tensor.ts';

export interface LayerCache {
  /** [kvHeads, prompt, d] */
  readonly kPrompt: FloatTensor;
  readonly vPrompt: FloatTensor;
  /** [rows, kvHeads, capacity, d] */
  k: Float32Array;
  v: Float32Array;
}

export interface GroupCache {
  readonly layers: LayerCache[];
  readonly kvHeads: number;
  readonly headDim: number;
  /** Live completions, and tokens held of each. */
  rows: number;
  length: number;
  capacity: number;
}

/** Places are added in steps of this many tokens. */
const STEP = 64;

export function createGroupCache(kvHeads: number, headDim: number, rows: number, maxTokens: number): GroupCache {
  return { layers: [], kvHeads, headDim, rows, length: 0, capacity: Math.min(STEP, maxTokens) };
}

/** Adds a layer from the prompt's projections k, v [prompt, kvHeads * d]. */
export function addLayer(cache: GroupCache, k: FloatTensor, v: FloatTensor): void {
  const own = cache.rows * cache.kvHeads * cache.capacity * cache.headDim;
  cache.layers.push({
    kPrompt: byHead(k, cache),
    vPrompt: byHead(v, cache),
    k: new Float32Array(own),
    v: new Float32Array(own),
  });
}

/** Writes this step's k, v [rows, kvHeads * d] of a layer at place `length`. */
export function appendStep(cache: GroupCache, layer: LayerCache, k: FloatTensor, v: FloatTensor): void {
  const { rows, kvHeads, headDim, capacity, length } = cache;
  for (let slot = 0; slot < rows * kvHeads; slot++) {
    const to = (slot * capacity + length) * headDim;
    layer.k.set(k.data.subarray(slot * headDim, (slot + 1) * headDim), to);
    layer.v.set(v.data.subarray(slot * headDim, (slot + 1) * headDim), to);
  }
}

/** Makes room for one more token. */
export function reserve(cache: GroupCache): void {
  if (cache.length < cache.capacity) return;
  const { rows, kvHeads, headDim, capacity } = cache;
  const wider = capacity + STEP;
  const widen = (data: Float32Array): Float32Array => {
    const result = new Float32Array(rows * kvHeads * wider * headDim);
    for (let slot = 0; slot < rows * kvHeads; slot++) {
      result.set(data.subarray(slot * capacity * headDim, (slot + 1) * capacity * headDim), slot * wider * headDim);
    }
    return result;
  };
  for (const layer of cache.layers) {
    layer.k = widen(layer.k);
    layer.v = widen(layer.v);
  }
  cache.capacity = wider;
}

/** Drops live row `row`: the last live row takes its place. */
export function dropRow(cache: GroupCache, row: number): void {
  const size = cache.kvHeads * cache.capacity * cache.headDim;
  const last = cache.rows - 1;
  if (row !== last) {
    for (const { k, v } of cache.layers) {
      k.copyWithin(row * size, last * size, (last + 1) * size);
      v.copyWithin(row * size, last * size, (last + 1) * size);
    }
  }
  cache.rows = last;
}

/** What decode attention is fed from a layer: the live rows, and which places are filled. */
export function cacheFeeds({ rows, kvHeads, headDim, capacity, length }: GroupCache, layer: LayerCache) {
  const own = (data: Float32Array): FloatTensor =>
    floats(data.subarray(0, rows * kvHeads * capacity * headDim), [rows, kvHeads, capacity, headDim]);
  // The step's own token stands at place `length` already.
  const unseen = new Float32Array(capacity).fill(Number.NEGATIVE_INFINITY, length + 1);
  return {
    kPrompt: layer.kPrompt,
    vPrompt: layer.vPrompt,
    kOwn: own(layer.k),
    vOwn: own(layer.v),
    unseen: floats(unseen, [capacity]),
  };
}

// --- internal ---

/** [tokens, kvHeads * d] -> [kvHeads, tokens, d], copied */
function byHead({ data, dims }: FloatTensor, { kvHeads, headDim }: GroupCache): FloatTensor {
  const tokens = dims[0]!;
  const result = new Float32Array(data.length);
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < kvHeads; head++) {
      const from = (token * kvHeads + head) * headDim;
      result.set(data.subarray(from, from + headDim), (head * tokens + token) * headDim);
    }
  }
  return floats(result, [kvHeads, tokens, headDim]);
}
