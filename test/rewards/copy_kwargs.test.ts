import { expect, test } from 'vitest';
import { ownCopy, ownKwargs } from '../../src/rewards/copy_kwargs.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

test('data is copied all the way down, and equal to what it was', () => {
  const data = { a: [{ b: Int32Array.of(1, 2) }, undefined, null, 'x'], c: JSON.parse('{"__proto__": [3]}') };
  const copy = ownCopy(data) as typeof data;
  expect(copy).toEqual(data);
  expect(Object.keys(copy.c)).toEqual(['__proto__']);
  for (const [own, original] of [
    [copy, data],
    [copy.a, data.a],
    [copy.a[0], data.a[0]],
    [(copy.a[0] as { b: object }).b, (data.a[0] as { b: object }).b],
  ]) {
    expect(own).not.toBe(original);
  }
});

test('a part of a larger buffer is copied without the rest', () => {
  const copy = ownCopy(new Float32Array(1000).subarray(1, 3)) as Float32Array;
  expect(copy.buffer.byteLength).toBe(8);
});

test('what is shared, or holds itself, is so in the copy', () => {
  const shared = [1];
  const [a, b] = ownCopy([shared, shared]) as number[][];
  expect(a).toBe(b);
  const loop: unknown[] = [];
  loop.push(loop);
  const copy = ownCopy(loop) as unknown[];
  expect(copy[0]).toBe(copy);
});

test('functions and instances stay; a getter is not asked', () => {
  const date = new Date(0);
  const call = () => 1;
  let asked = 0;
  const picture = {
    get pixels() {
      return ++asked;
    },
  };
  const copy = ownCopy({ date, call, picture }) as { date: Date; call: () => number; picture: typeof picture };
  expect([copy.date, copy.call, asked]).toEqual([date, call, 0]);
  expect([copy.picture.pixels, copy.picture === picture]).toEqual([1, false]);
});

test('the model, and what else the trainer works with, is handed on', () => {
  const kwargs = rewardKwargs(1, { config: {} });
  const own = ownKwargs(kwargs);
  for (const name of ['model', 'template', 'logger', 'log_metric', 'log_extra']) expect(own[name]).toBe(kwargs[name]);
  for (const name of ['prompt_ids', 'messages', 'images']) expect(own[name]).not.toBe(kwargs[name]);
});
