import { describe, expect, test } from 'vitest';
import {
  createKvCache,
  type KvCache,
  type NextToken,
  openTokens,
  setPrompt,
  withoutFree,
  withRoom,
} from '../../src/engine/kv_cache.ts';
import { createWorkingMemory } from '../../src/engine/working_memory.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { here } from '../../src/runtime/device.ts';
import { floats } from '../../src/runtime/tensor.ts';

const [KV_HEADS, HEAD_DIM, LAYERS] = [2, 3, 2];
const no = Number.NEGATIVE_INFINITY;

const emptyCache = (promptLengths: readonly number[], rows: number, maxTokens: number, atOnce = 1): Promise<KvCache> =>
  createKvCache(createWorkingMemory(cpu), {
    kvHeads: KV_HEADS,
    headDim: HEAD_DIM,
    layers: LAYERS,
    promptLengths,
    rows,
    maxTokens,
    atOnce,
  });

/** A number that says what it is: completion, token, layer, head, element; values are the negative of keys. */
const key = (who: number, token: number, layer: number, head: number, i: number): number =>
  (((who * 200 + token) * LAYERS + layer) * KV_HEADS + head) * HEAD_DIM + i + 1;

/** Rows [count, kvHeads * d] of `key`, and their negatives. */
function rowsOf(count: number, layer: number, at: (row: number) => { who: number; token: number }) {
  const k = new Float32Array(count * KV_HEADS * HEAD_DIM);
  for (let row = 0; row < count; row++)
    for (let head = 0; head < KV_HEADS; head++)
      for (let i = 0; i < HEAD_DIM; i++)
        k[(row * KV_HEADS + head) * HEAD_DIM + i] = key(at(row).who, at(row).token, layer, head, i);
  const dims = [count, KV_HEADS * HEAD_DIM];
  return {
    k: floats(k, dims),
    v: floats(
      k.map((x) => -x),
      dims,
    ),
  };
}

/** Puts the next tokens of every live completion, from number `first`, where the cache says; whose[i] stands at places[i]. */
function append(cache: KvCache, first: number, places: Int32Array, whose: readonly number[]): void {
  const standing = new Map([...places].map((place, i) => [place, whose[i]!]));
  openTokens(cache, first);
  for (const [t, { slots }] of cache.next.entries())
    for (const [layer, { kOwn, vOwn }] of cache.layers.entries()) {
      const { k, v } = rowsOf(cache.groups.length * cache.rows, layer, (place) => ({
        who: standing.get(place) ?? 99,
        token: first + t,
      }));
      for (let i = 0; i < slots.dims[0]!; i++) {
        const to = slots.data
          .subarray(4 * i, 4 * i + 4)
          .reduce((offset, index, axis) => offset * kOwn.dims[axis]! + index, 0);
        here(kOwn).data.set(k.data.subarray(i * HEAD_DIM, (i + 1) * HEAD_DIM), to * HEAD_DIM);
        here(vOwn).data.set(v.data.subarray(i * HEAD_DIM, (i + 1) * HEAD_DIM), to * HEAD_DIM);
      }
    }
}

/** Every element the cache holds of a completion, compared with what was put there. */
function expectTokens(cache: KvCache, place: number, who: number, length: number): void {
  const [group, row] = [Math.floor(place / cache.rows), place % cache.rows];
  for (const [layer, { kOwn, vOwn }] of cache.layers.entries())
    for (let head = 0; head < KV_HEADS; head++)
      for (let token = 0; token < length; token++)
        for (let i = 0; i < HEAD_DIM; i++) {
          const slot = (group * KV_HEADS + head) * cache.rows + row;
          const at = (slot * cache.capacity + token) * HEAD_DIM + i;
          expect(here(kOwn).data[at]).toBe(key(who, token, layer, head, i));
          expect(here(vOwn).data[at]).toBe(-key(who, token, layer, head, i));
        }
}

describe('prompts', async () => {
  const lengths = [2, 4, 1];
  const cache = await emptyCache(lengths, 2, 8);
  for (const [group, length] of lengths.entries())
    for (let layer = 0; layer < LAYERS; layer++) {
      const { k, v } = rowsOf(length, layer, (token) => ({ who: group, token }));
      await setPrompt(cache, layer, group, k, v);
    }

  const expectPrompt = (from: KvCache, group: number, prompt: number): void => {
    const { kPrompt, vPrompt } = from.layers[1]!;
    for (let head = 0; head < KV_HEADS; head++)
      for (let token = 0; token < 4; token++)
        for (let i = 0; i < HEAD_DIM; i++) {
          const at = ((group * KV_HEADS + head) * 4 + token) * HEAD_DIM + i;
          const expected = token < lengths[prompt]! ? key(prompt, token, 1, head, i) : 0;
          expect(here(kPrompt).data[at]).toBe(expected);
          expect(here(vPrompt).data[at]).toBe(expected === 0 ? 0 : -expected);
        }
  };

  test('lie by group and head, zeros behind the shorter ones', () => {
    for (const group of lengths.keys()) expectPrompt(cache, group, group);
  });

  test('what is behind a shorter one is not seen', () => {
    const [{ unseen }] = cache.next as [NextToken];
    expect(unseen.dims).toEqual([3, 4 + 8]);
    const prompts = [0, 1, 2].map((g) => [...unseen.data.subarray(g * 12, g * 12 + 4)]);
    expect(prompts).toEqual([
      [0, 0, no, no],
      [0, 0, 0, 0],
      [0, no, no, no],
    ]);
  });

  test('a group without live completions leaves, with its prompt', async () => {
    const { cache: smaller, places } = await withoutFree(cache, 0, Int32Array.of(0, 1, 5));
    expect(smaller.groups.map(({ prompt }) => prompt)).toEqual([0, 2]);
    expect([...places]).toEqual([0, 1, 2]);
    expectPrompt(smaller, 0, 0);
    expectPrompt(smaller, 1, 2);
  });
});

test('a token sees those before it and itself, in a larger or smaller cache too', async () => {
  const cache = await emptyCache([2, 1], 2, 40, 2);
  /** Of each of the next tokens, of each group: how many own columns are seen, all of them at the front. */
  const seen = ({ next, capacity, groups }: KvCache): number[][] =>
    next.map(({ unseen }) =>
      groups.map((_, g) => {
        const own = [...unseen.data.subarray((g + 1) * (2 + capacity) - capacity, (g + 1) * (2 + capacity))];
        const count = own.filter((x) => x === 0).length;
        expect(own).toEqual(own.map((_, t) => (t < count ? 0 : no)));
        return count;
      }),
    );
  openTokens(cache, 0);
  expect(seen(cache)).toEqual([
    [1, 1],
    [2, 2],
  ]);
  for (let token = 2; token < 16; token += 2) openTokens(cache, token);
  expect(seen(cache)).toEqual([
    [15, 15],
    [16, 16],
  ]);
  const larger = await withRoom(cache, 16);
  expect(larger.capacity).toBe(32);
  openTokens(larger, 16);
  expect(seen(larger)).toEqual([
    [17, 17],
    [18, 18],
  ]);
  const { cache: smaller } = await withoutFree(larger, 18, Int32Array.of(3));
  openTokens(smaller, 18);
  expect(seen(smaller)).toEqual([[19], [20]]);
});

test.each([1, 2, 3])(
  'tokens stay what they were while room is made and completions leave, %i at once',
  async (atOnce) => {
    let cache = await emptyCache([1, 1, 1], 4, 150, atOnce);
    let whose = Array.from({ length: 12 }, (_, i) => i);
    let places: Int32Array = Int32Array.from(whose);
    const leaving = new Map([
      [3, [5]],
      [20, [0, 1, 2]],
      [64, [3, 4, 8]],
      [90, [9, 10]],
      [130, [6, 7]],
    ]);
    const sizes = new Set<number>();
    for (let first = 0; first < 150; first += atOnce) {
      const token = first + atOnce - 1;
      cache = await withRoom(cache, first);
      append(cache, first, places, whose);
      const gone = Array.from({ length: atOnce }, (_, t) => leaving.get(first + t) ?? []).flat();
      if (gone.length > 0) {
        const kept = whose.flatMap((who, i) => (gone.includes(who) ? [] : [i]));
        ({ cache, places } = await withoutFree(
          cache,
          token + 1,
          Int32Array.from(kept, (i) => places[i]!),
        ));
        whose = kept.map((i) => whose[i]!);
      }
      sizes.add(cache.groups.length * cache.rows);
      if (first % 10 === 0 || gone.length > 0)
        for (const [i, who] of whose.entries()) expectTokens(cache, places[i]!, who, token + 1);
    }
    expect(whose).toEqual([11]);
    expect(sizes.size).toBeGreaterThan(3);
    expect(cache.groups.length * cache.rows).toBe(1);
    expect(cache.capacity).toBe(160);
  },
);
