/**
 * Keys and values while completions are sampled: those of each prompt once, and those of each live completion.
 * Completions have places in a rectangle of groups x rows. Knows places, not what is sampled.
 */
import { pin } from '../runtime/session.ts';
import { type FloatTensor, floats, type IntTensor, ints, rows as rowsOfTensor } from '../runtime/tensor.ts';
import type { HostWorkspace } from '../runtime/workspace.ts';

export interface LayerCache {
  /** Of the prompts [groups, kvHeads, prompt, d]; zeros after a shorter prompt. */
  readonly kPrompt: FloatTensor;
  readonly vPrompt: FloatTensor;
  /** Of the completions [groups, kvHeads, rows, capacity, d]. */
  readonly kOwn: FloatTensor;
  readonly vOwn: FloatTensor;
}

export interface KvCache {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Number of each group's prompt in the rollout, and its tokens. */
  readonly groups: readonly { readonly prompt: number; readonly length: number }[];
  /** Places of each group. */
  readonly rows: number;
  /** Tokens that a place has room for. */
  readonly capacity: number;
  /** Tokens that a step adds to each place. */
  readonly atOnce: number;
  readonly layers: readonly LayerCache[];
  /** For each of the tokens that the next step adds. */
  readonly next: readonly NextToken[];
  readonly workspace: HostWorkspace;
  /** Which of two sets of buffers the tensors lie in. A cache that is copied from another one takes the other set. */
  readonly sides: { readonly prompt: 0 | 1; readonly own: 0 | 1 };
}

export interface NextToken {
  /**
   * Added to attention scores, [groups, prompt + capacity]: 0 for columns that the token sees; -inf after a shorter prompt
   * and for later tokens. Columns are the prompt's, then a place's own.
   */
  readonly unseen: FloatTensor;
  /** Indices (group, head, row, token) of its keys and values: int32 [groups * rows * kvHeads, 4], by place, then head. */
  readonly slots: IntTensor;
}

/** A cache grows by this many tokens at a time. */
const TOKENS = 16;

export interface KvCacheShape {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly layers: number;
  readonly promptLengths: readonly number[];
  /** Completions of each prompt, and tokens each may grow to. */
  readonly rows: number;
  readonly maxTokens: number;
  /** Tokens of each completion that are put in at once. */
  readonly atOnce: number;
}

/** An empty cache in buffers of the workspace, valid until the next one is created there. */
export function createKvCache(workspace: HostWorkspace, shape: KvCacheShape): KvCache {
  const { kvHeads, headDim, promptLengths, rows, maxTokens, atOnce } = shape;
  const groups = promptLengths.map((length, prompt) => ({ prompt, length }));
  const longest = Math.max(...promptLengths);
  const cache: CacheWithoutTensors = {
    kvHeads,
    headDim,
    groups,
    rows,
    capacity: Math.max(atOnce, Math.min(TOKENS, maxTokens)),
    atOnce,
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
  return { ...cache, layers, next: nextTokens(cache, longest) };
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

/** Prepares for the next tokens: every place holds `length` tokens, which they follow and see. */
export function openTokens({ groups, next, capacity }: KvCache, length: number): void {
  for (const [i, { unseen, slots }] of next.entries()) {
    const columns = unseen.dims[1]!;
    for (let g = 0; g < groups.length; g++) {
      const own = (g + 1) * columns - capacity;
      unseen.data.fill(0, own, own + length + i + 1);
    }
    for (let at = 3; at < slots.data.length; at += 4) slots.data[at] = length + i;
  }
}

/** Whether the next tokens fit after `length` ones. */
export const hasRoom = ({ atOnce, capacity }: Pick<KvCache, 'atOnce' | 'capacity'>, length: number): boolean =>
  length + atOnce <= capacity;

/** The cache, or a larger copy of it if the next tokens do not fit after `length` ones. */
export function withRoom(cache: KvCache, length: number): KvCache {
  if (hasRoom(cache, length)) return cache;
  const everyPlace = Array.from({ length: cache.groups.length * cache.rows }, (_, place) => place);
  return moved(cache, length, { capacity: cache.capacity + TOKENS }, everyPlace);
}

/** Whether so many places are free that `withoutFree` makes a smaller copy. @param places of the live completions */
export function isWorthShrinking(cache: Pick<KvCache, 'groups' | 'rows'>, places: Int32Array): boolean {
  const rowsOf = byGroup(cache, places);
  return rowsOf.size * mostIn(rowsOf) <= WORTH_COPYING * cache.groups.length * cache.rows;
}

/**
 * The cache, or a smaller copy if enough places are free. The copy has the groups with live completions, and as many rows
 * as the fullest of them.
 *
 * @param places of the live completions, at least one, group by group
 * @returns the cache, and their places in it, in the same order
 */
export function withoutFree(
  cache: KvCache,
  length: number,
  places: Int32Array,
): { cache: KvCache; places: Int32Array } {
  if (!isWorthShrinking(cache, places)) return { cache, places };
  const rowsOf = byGroup(cache, places);
  const kept = [...rowsOf.keys()];
  const rows = mostIn(rowsOf);
  const from = [...rowsOf.values()].flatMap((live) => Array.from({ length: rows }, (_, row) => live[row] ?? FREE));
  const smaller = moved(cache, length, { rows }, from, kept);
  return { cache: smaller, places: places.map((place) => from.indexOf(place)) };
}

// --- internal ---

type CacheWithoutTensors = Omit<KvCache, 'layers' | 'next'>;

/** Free places are computed like the others. Copying pays once an eighth of all places is free. */
const WORTH_COPYING = 7 / 8;

/** Places by their group, in order. */
function byGroup({ rows }: Pick<KvCache, 'rows'>, places: Int32Array): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (const place of places) {
    const group = Math.floor(place / rows);
    groups.set(group, [...(groups.get(group) ?? []), place]);
  }
  return groups;
}

const mostIn = (groups: ReadonlyMap<number, readonly number[]>): number =>
  Math.max(...[...groups.values()].map(({ length }) => length));

/** In place of a place's number, where the new place has no completion. */
const FREE = -1;

/** A buffer of zeros: columns that a mask hides must be finite. */
function buffer(workspace: HostWorkspace, side: 0 | 1, name: string, ...dims: number[]): FloatTensor {
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
 * @param from for each place of the result, the place that it comes from, or FREE
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
      if (source === FREE) continue;
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
  return { ...result, layers, next: nextTokens(result, layers[0]!.kPrompt.dims[2]!) };
}

/** Masks and slots for the next tokens, before `openTokens`: every token of a place's own is hidden. */
function nextTokens({ groups, rows, kvHeads, capacity, atOnce }: CacheWithoutTensors, longest: number): NextToken[] {
  const columns = longest + capacity;
  const unseen = new Float32Array(groups.length * columns).fill(Number.NEGATIVE_INFINITY);
  for (const [g, prompt] of groups.entries()) unseen.fill(0, g * columns, g * columns + prompt.length);
  const slots: number[] = [];
  for (let g = 0; g < groups.length; g++)
    for (let row = 0; row < rows; row++) for (let head = 0; head < kvHeads; head++) slots.push(g, head, row, 0);
  return Array.from({ length: atOnce }, () => ({
    unseen: pin(floats(unseen.slice(), [groups.length, columns])),
    slots: pin(ints(Int32Array.from(slots), [slots.length / 4, 4])),
  }));
}

/** Index of a place's tokens in [groups, kvHeads, rows]. */
const slotOf = ({ kvHeads, rows }: Pick<KvCache, 'kvHeads' | 'rows'>, place: number, head: number): number =>
  (Math.floor(place / rows) * kvHeads + head) * rows + (place % rows);
