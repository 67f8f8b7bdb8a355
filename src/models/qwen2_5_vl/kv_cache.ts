/**
 * Keys and values while completions are sampled, in rectangles of places, groups x rows: each prompt's once, and each
 * live completion's own. Knows places; not what is sampled.
 */
import { pin } from '../../runtime/session.ts';
import { type FloatTensor, floats, type IntTensor, ints, rows as rowsOfTensor } from '../../runtime/tensor.ts';
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
  /**
   * Of a group's columns, the prompt's and then a place's own, 0 for those that are seen; -inf behind a shorter prompt and
   * for tokens that are still to come: [groups, prompt + capacity].
   */
  readonly unseen: FloatTensor;
  /** Where the next token's keys and values go: [groups * rows * kvHeads, 4], by place, then head. */
  readonly slots: IntTensor;
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
  const cache: CacheWithoutTensors = {
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
  return { ...cache, layers, ...columnsOf(cache, longest, 0) };
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

/** Says that the next token of all places is number `length` of their own, and that it is seen from now on. */
export function openToken({ groups, unseen, slots, capacity }: KvCache, length: number): void {
  const columns = unseen.dims[1]!;
  for (let g = 0; g < groups.length; g++) unseen.data[(g + 1) * columns - capacity + length] = 0;
  for (let i = 3; i < slots.data.length; i += 4) slots.data[i] = length;
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

// --- internal ---

type CacheWithoutTensors = Omit<KvCache, 'layers' | 'unseen' | 'slots'>;

/** Free places are computed like the others; copying is worth it once an eighth of all is free. */
const WORTH_COPYING = 7 / 8;

/** Of a place where no completion stands. */
const NOBODY = -1;

/** Zeros: what a mask hides has to be finite. */
function buffer(workspace: Workspace, side: 0 | 1, name: string, ...dims: number[]): FloatTensor {
  const tensor = pin(workspace.get(`kv.${side}.${name}`, ...dims));
  tensor.data.fill(0);
  return tensor;
}

function emptyOwn(cache: CacheWithoutTensors, layer: number): Pick<LayerCache, 'kOwn' | 'vOwn'> {
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
  const result: CacheWithoutTensors = { ...cache, ...change, groups, sides };
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
  return { ...result, layers, ...columnsOf(result, layers[0]!.kPrompt.dims[2]!, length) };
}

/** What says which columns a cache shows whose places hold `length` tokens, and where their next ones go. */
function columnsOf(
  { groups, rows, kvHeads, capacity }: CacheWithoutTensors,
  longest: number,
  length: number,
): Pick<KvCache, 'unseen' | 'slots'> {
  const columns = longest + capacity;
  const unseen = new Float32Array(groups.length * columns);
  for (const [g, prompt] of groups.entries()) {
    unseen.fill(Number.NEGATIVE_INFINITY, g * columns + prompt.length, g * columns + longest);
    unseen.fill(Number.NEGATIVE_INFINITY, g * columns + longest + length, (g + 1) * columns);
  }
  const slots: number[] = [];
  for (let g = 0; g < groups.length; g++)
    for (let row = 0; row < rows; row++) for (let head = 0; head < kvHeads; head++) slots.push(g, head, row, length);
  return {
    unseen: pin(floats(unseen, [groups.length, columns])),
    slots: pin(ints(Int32Array.from(slots), [slots.length / 4, 4])),
  };
}

/** Number of a place's run of tokens among [groups, kvHeads, rows]. */
const slotOf = ({ kvHeads, rows }: Pick<KvCache, 'kvHeads' | 'rows'>, place: number, head: number): number =>
  (Math.floor(place / rows) * kvHeads + head) * rows + (place % rows);
