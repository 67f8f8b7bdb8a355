/**
 * Keys and values while completions are sampled: those of each prompt once, and those of each live completion.
 * Completions have places in a rectangle of groups x rows. Knows places, not what is sampled.
 */
import { pin } from '../runtime/session.ts';
import { type FloatTensor, floats, type IntTensor, ints, sizeOf, type Tensor } from '../runtime/tensor.ts';
import { commonDivisor } from '../util/common_divisor.ts';
import { counting, joined } from '../util/index_lists.ts';
import type { WorkingMemory } from './working_memory.ts';

export interface LayerCache {
  /** Of the prompts [groups, kvHeads, prompt, d]; zeros after a shorter prompt. */
  readonly kPrompt: Tensor;
  readonly vPrompt: Tensor;
  /** Of the completions [groups, kvHeads, rows, capacity, d]. */
  readonly kOwn: Tensor;
  readonly vOwn: Tensor;
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
  readonly memory: WorkingMemory;
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

/** An empty cache in buffers of the device's workspace, valid until the next one is created there. */
export async function createKvCache(memory: WorkingMemory, shape: KvCacheShape): Promise<KvCache> {
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
    memory,
    sides: { prompt: 0, own: 0 },
  };
  const prompts = (layer: number, name: string): Promise<Tensor> =>
    buffer(memory, 0, `${layer}.${name}`, groups.length, kvHeads, longest, headDim);
  const layers: LayerCache[] = [];
  for (let layer = 0; layer < shape.layers; layer++)
    layers.push({
      kPrompt: await prompts(layer, 'kPrompt'),
      vPrompt: await prompts(layer, 'vPrompt'),
      ...(await emptyOwn(cache, layer)),
    });
  return { ...cache, layers, next: nextTokens(cache, longest) };
}

/** Sets a prompt's keys and values in a layer, from rows k, v [prompt, kvHeads * d]. */
export async function setPrompt(cache: KvCache, layer: number, group: number, k: Tensor, v: Tensor): Promise<void> {
  const { kvHeads, headDim, memory } = cache;
  const { length } = cache.groups[group]!;
  const { kPrompt, vPrompt } = cache.layers[layer]!;
  const longest = kPrompt.dims[2]!;
  const slots = Int32Array.from({ length: length * kvHeads }, (_, i) => {
    const [token, head] = [Math.floor(i / kvHeads), i % kvHeads];
    return (group * kvHeads + head) * longest + token;
  });
  const heads = (tensor: Tensor): Tensor => memory.device.view(tensor, [sizeOf(tensor.dims) / headDim, headDim]);
  await memory.moves.put(heads(k), slots, heads(kPrompt));
  await memory.moves.put(heads(v), slots, heads(vPrompt));
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
const hasRoom = ({ atOnce, capacity }: Pick<KvCache, 'atOnce' | 'capacity'>, length: number): boolean =>
  length + atOnce <= capacity;

/** The cache, or a larger copy of it if the next tokens do not fit after `length` ones. */
export async function withRoom(cache: KvCache, length: number): Promise<KvCache> {
  if (hasRoom(cache, length)) return cache;
  const everyPlace = Array.from({ length: cache.groups.length * cache.rows }, (_, place) => place);
  return moved(cache, length, { capacity: cache.capacity + TOKENS }, everyPlace);
}

/** Whether so many places are free that `withoutFree` makes a smaller copy. @param places of the live completions */
function isWorthShrinking(cache: Pick<KvCache, 'groups' | 'rows'>, places: Int32Array): boolean {
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
export async function withoutFree(
  cache: KvCache,
  length: number,
  places: Int32Array,
): Promise<{ cache: KvCache; places: Int32Array }> {
  if (!isWorthShrinking(cache, places)) return { cache, places };
  const rowsOf = byGroup(cache, places);
  const kept = [...rowsOf.keys()];
  const rows = mostIn(rowsOf);
  const from = [...rowsOf.values()].flatMap((live) => Array.from({ length: rows }, (_, row) => live[row] ?? FREE));
  const smaller = await moved(cache, length, { rows }, from, kept);
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
async function buffer(
  { device, workspace }: WorkingMemory,
  side: 0 | 1,
  name: string,
  ...dims: number[]
): Promise<Tensor> {
  const tensor = pin(workspace.get(`kv.${side}.${name}`, ...dims));
  await device.clear(tensor);
  return tensor;
}

async function emptyOwn(cache: CacheWithoutTensors, layer: number): Promise<Pick<LayerCache, 'kOwn' | 'vOwn'>> {
  const { groups, kvHeads, rows, capacity, headDim, memory, sides } = cache;
  const own = (name: string): Promise<Tensor> =>
    buffer(memory, sides.own, `${layer}.${name}`, groups.length, kvHeads, rows, capacity, headDim);
  return { kOwn: await own('kOwn'), vOwn: await own('vOwn') };
}

/**
 * Copies the first `length` tokens of places into a cache of another size.
 *
 * @param from for each place of the result, the place that it comes from, or FREE
 * @param kept groups that stay; absent: all
 */
async function moved(
  cache: KvCache,
  length: number,
  change: Partial<Pick<KvCache, 'rows' | 'capacity'>>,
  from: readonly number[],
  kept: readonly number[] = [...cache.groups.keys()],
): Promise<KvCache> {
  const { kvHeads, headDim, memory } = cache;
  const { device, moves } = memory;
  const groups = kept.map((group) => cache.groups[group]!);
  const everyGroup = kept.length === cache.groups.length;
  const other = (side: 0 | 1): 0 | 1 => (side === 0 ? 1 : 0);
  const sides = { prompt: everyGroup ? cache.sides.prompt : other(cache.sides.prompt), own: other(cache.sides.own) };
  const result: CacheWithoutTensors = { ...cache, ...change, groups, sides };
  // Several tokens of a place and head lie one after another, in both caches: they are copied together.
  const together = commonDivisor(cache.capacity, result.capacity);
  const inSlot = (of: CacheWithoutTensors, slot: number): Int32Array =>
    counting(Math.ceil(length / together), (slot * of.capacity) / together);
  const copies = from.flatMap((source, place) =>
    source === FREE
      ? []
      : Array.from({ length: kvHeads }, (_, head) => ({
          from: inSlot(cache, slotOf(cache, source, head)),
          to: inSlot(result, slotOf(result, place, head)),
        })),
  );
  const [sources, targets] = [joined(copies.map((copy) => copy.from)), joined(copies.map(({ to }) => to))];
  const groupsKept = Int32Array.from(kept);
  const layers: LayerCache[] = [];
  for (const [i, layer] of cache.layers.entries()) {
    const own = await emptyOwn(result, i);
    for (const name of ['kOwn', 'vOwn'] as const) {
      const units = (tensor: Tensor): Tensor =>
        device.view(tensor, [sizeOf(tensor.dims) / (together * headDim), together * headDim]);
      await moves.copy(units(layer[name]), sources, units(own[name]), targets);
    }
    const prompts = async (name: 'kPrompt' | 'vPrompt'): Promise<Tensor> => {
      if (everyGroup) return layer[name];
      const [, ...rest] = layer[name].dims as [number, ...number[]];
      const picked = await buffer(memory, sides.prompt, `${i}.${name}`, kept.length, ...rest);
      return moves.gather(layer[name], groupsKept, picked);
    };
    layers.push({ kPrompt: await prompts('kPrompt'), vPrompt: await prompts('vPrompt'), ...own });
  }
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
