/**
 * Keys and values while completions are sampled, in rectangles of places, groups x rows: each prompt's once, and each
 * live completion's own. Knows places; not what is sampled.
 */
import { pin } from '../../runtime/session.ts';
import { type FloatTensor, floats, rows as rowsOfTensor, zeros } from '../../runtime/tensor.ts';
import type { Workspace } from '../../runtime/workspace.ts';

export interface LayerCache {
  /** [groups, kvHeads, prompt, d]; behind a shorter prompt zeros. */
  readonly kPrompt: FloatTensor;
  readonly vPrompt: FloatTensor;
  /** [groups, kvHeads, rows, capacity, d] */
  readonly kOwn: FloatTensor;
  readonly vOwn: FloatTensor;
}

export interface KvCache {
  readonly kvHeads: number;
  readonly headDim: number;
  /** The prompts, by their number in the rollout, and their tokens. */
  readonly groups: readonly { readonly prompt: number; readonly length: number }[];
  /** Places of each group. */
  readonly rows: number;
  /** Tokens there is room for at a place. */
  readonly capacity: number;
  readonly layers: readonly LayerCache[];
  /** Memory: what is copied into another cache lies in other buffers there. */
  readonly workspace: Workspace;
  readonly sides: { readonly prompt: 0 | 1; readonly own: 0 | 1 };
}

/** Room is made for this many tokens at a time. */
const TOKENS = 16;

export interface KvCacheShape {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly layers: number;
  readonly promptLengths: readonly number[];
  /** Completions of each prompt, and tokens each may grow to. */
  readonly rows: number;
  readonly maxTokens: number;
}

/** An empty cache in buffers of the workspace: valid until the next one is made there. */
export function createKvCache(workspace: Workspace, shape: KvCacheShape): KvCache {
  const { kvHeads, headDim, promptLengths, rows, maxTokens } = shape;
  const groups = promptLengths.map((length, prompt) => ({ prompt, length }));
  const longest = Math.max(...promptLengths);
  const cache: Omit<KvCache, 'layers'> = {
    kvHeads,
    headDim,
    groups,
    rows,
    capacity: Math.min(TOKENS, maxTokens),
    workspace,
    sides: { prompt: 0, own: 0 },
  };
  const prompts = (layer: number, name: string): FloatTensor =>
    buffer(workspace, 0, `${layer}.${name}`, groups.length, kvHeads, longest, headDim);
  const layers = Array.from(
    { length: shape.layers },
    (_, layer): LayerCache => ({
      kPrompt: prompts(layer, 'kPrompt'),
      vPrompt: prompts(layer, 'vPrompt'),
      ...emptyOwn(cache, layer),
    }),
  );
  return { ...cache, layers };
}

/** Sets a prompt's keys and values in a layer, from rows k, v [prompt, kvHeads * d]. */
export function setPrompt(cache: KvCache, layer: number, group: number, k: FloatTensor, v: FloatTensor): void {
  const { kvHeads, headDim } = cache;
  const { length } = cache.groups[group]!;
  const { kPrompt, vPrompt } = cache.layers[layer]!;
  const longest = kPrompt.dims[2]!;
  for (let head = 0; head < kvHeads; head++) {
    for (let token = 0; token < length; token++) {
      const from = (token * kvHeads + head) * headDim;
      const to = ((group * kvHeads + head) * longest + token) * headDim;
      kPrompt.data.set(k.data.subarray(from, from + headDim), to);
      vPrompt.data.set(v.data.subarray(from, from + headDim), to);
    }
  }
}

/** Writes token `length` of the given places in a layer, from rows by place k, v [groups * rows, kvHeads * d]. */
export function appendToken(
  { kvHeads, headDim, rows, capacity, layers }: KvCache,
  layer: number,
  length: number,
  places: Int32Array,
  { k, v }: { k: FloatTensor; v: FloatTensor },
): void {
  const { kOwn, vOwn } = layers[layer]!;
  for (const place of places) {
    for (let head = 0; head < kvHeads; head++) {
      const from = (place * kvHeads + head) * headDim;
      const to = (slotOf({ kvHeads, rows }, place, head) * capacity + length) * headDim;
      kOwn.data.set(k.data.subarray(from, from + headDim), to);
      vOwn.data.set(v.data.subarray(from, from + headDim), to);
    }
  }
}

/** The cache, or a copy of it with room for one token more than `length`. */
export function withRoom(cache: KvCache, length: number): KvCache {
  if (length < cache.capacity) return cache;
  const everyPlace = Array.from({ length: cache.groups.length * cache.rows }, (_, place) => place);
  return moved(cache, length, { capacity: cache.capacity + TOKENS }, everyPlace);
}

/**
 * The cache, or a smaller copy if enough places are free: of the groups that have a live place, with as many rows as the
 * fullest of them needs.
 *
 * @param places of the live completions, at least one, group by group
 * @returns the cache, and their places in it, in the same order
 */
export function withoutFree(
  cache: KvCache,
  length: number,
  places: Int32Array,
): { cache: KvCache; places: Int32Array } {
  const groupOf = (place: number): number => Math.floor(place / cache.rows);
  const kept = [...new Set([...places].map(groupOf))];
  const rowsOf = kept.map((group) => [...places].filter((place) => groupOf(place) === group));
  const rows = Math.max(...rowsOf.map((live) => live.length));
  if (kept.length * rows > WORTH_COPYING * cache.groups.length * cache.rows) return { cache, places };
  const from = rowsOf.flatMap((live) => Array.from({ length: rows }, (_, row) => live[row] ?? NOBODY));
  const smaller = moved(cache, length, { rows }, from, kept);
  return { cache: smaller, places: places.map((place) => from.indexOf(place)) };
}

/** 0 for columns of a group's prompt, -inf behind them: [groups, prompt]. */
export function unseenPrompt({ groups, layers }: KvCache): FloatTensor {
  const longest = layers[0]!.kPrompt.dims[2]!;
  const unseen = zeros(groups.length, longest);
  for (const [g, { length }] of groups.entries())
    unseen.data.fill(Number.NEGATIVE_INFINITY, g * longest + length, (g + 1) * longest);
  return unseen;
}

/** 0 for the tokens a place holds, -inf for those that are still to come: [capacity]. */
export function unseenOwn({ capacity }: KvCache, length: number): FloatTensor {
  return floats(new Float32Array(capacity).fill(Number.NEGATIVE_INFINITY, length), [capacity]);
}

// --- internal ---

/** Copying is worth it once a quarter of all places is free. */
const WORTH_COPYING = 0.75;

/** Of a place where no completion stands. */
const NOBODY = -1;

/** Zeros: what a mask hides has to be finite. */
function buffer(workspace: Workspace, side: 0 | 1, name: string, ...dims: number[]): FloatTensor {
  const tensor = pin(workspace.get(`kv.${side}.${name}`, ...dims));
  tensor.data.fill(0);
  return tensor;
}

function emptyOwn(cache: Omit<KvCache, 'layers'>, layer: number): Pick<LayerCache, 'kOwn' | 'vOwn'> {
  const { groups, kvHeads, rows, capacity, headDim, workspace, sides } = cache;
  const own = (name: string): FloatTensor =>
    buffer(workspace, sides.own, `${layer}.${name}`, groups.length, kvHeads, rows, capacity, headDim);
  return { kOwn: own('kOwn'), vOwn: own('vOwn') };
}

/**
 * Copies the first `length` tokens of places into a cache of another size.
 *
 * @param from for each place of the result the place it comes from, or NOBODY
 * @param kept groups that stay; absent: all
 */
function moved(
  cache: KvCache,
  length: number,
  change: Partial<Pick<KvCache, 'rows' | 'capacity'>>,
  from: readonly number[],
  kept: readonly number[] = [...cache.groups.keys()],
): KvCache {
  const { kvHeads, headDim } = cache;
  const groups = kept.map((group) => cache.groups[group]!);
  const everyGroup = kept.length === cache.groups.length;
  const other = (side: 0 | 1): 0 | 1 => (side === 0 ? 1 : 0);
  const sides = { prompt: everyGroup ? cache.sides.prompt : other(cache.sides.prompt), own: other(cache.sides.own) };
  const result: Omit<KvCache, 'layers'> = { ...cache, ...change, groups, sides };
  const layers = cache.layers.map((layer, i): LayerCache => {
    const own = emptyOwn(result, i);
    for (const [place, source] of from.entries()) {
      if (source === NOBODY) continue;
      for (let head = 0; head < kvHeads; head++) {
        const start = slotOf(cache, source, head) * cache.capacity * headDim;
        const to = slotOf(result, place, head) * result.capacity * headDim;
        for (const name of ['kOwn', 'vOwn'] as const)
          own[name].data.set(layer[name].data.subarray(start, start + length * headDim), to);
      }
    }
    const prompts = (name: 'kPrompt' | 'vPrompt'): FloatTensor => {
      if (everyGroup) return layer[name];
      const [, ...rest] = layer[name].dims as [number, ...number[]];
      const picked = buffer(cache.workspace, sides.prompt, `${i}.${name}`, kept.length, ...rest);
      for (const [g, group] of kept.entries())
        picked.data.set(rowsOfTensor(layer[name], group, group + 1).data, (g * picked.data.length) / kept.length);
      return picked;
    };
    return { kPrompt: prompts('kPrompt'), vPrompt: prompts('vPrompt'), ...own };
  });
  return { ...result, layers };
}

/** Number of a place's run of tokens among [groups, kvHeads, rows]. */
const slotOf = ({ kvHeads, rows }: Pick<KvCache, 'kvHeads' | 'rows'>, place: number, head: number): number =>
  (Math.floor(place / rows) * kvHeads + head) * rows + (place % rows);
