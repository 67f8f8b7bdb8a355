/** What the device that only counts says of memory, against sums made by hand. */
import { expect, test } from 'vitest';
import { add, exp } from '../../src/graph/ops/elementwise.ts';
import { sum } from '../../src/graph/ops/reduce.ts';
import { input } from '../../src/graph/value.ts';
import { openCounted } from '../../src/runtime/counted.ts';
import { floats } from '../../src/runtime/tensor.ts';

test('tensors are counted when they are first used, runs by what lies inside them', async () => {
  const { device, largestRun } = await openCounted();
  const [x, y] = [input('x', ['N', 1]), input('y', [1, 'M'])];
  const sums = await device.compile({ name: 'sums', inputs: { x, y }, outputs: { s: sum(exp(add(x, y)), [1]) } });
  const there = device.reserve('float32', [1000, 1]);
  expect(device.memory()).toEqual({ bytes: 0, peak: 0, use: new Map([['reserved', 0]]) });
  const row = device.hold(floats(new Float32Array(500), [1, 500]));
  const { s } = await sums.run({ x: there, y: row });
  expect(s!.dims).toEqual([1000]);
  // The reserved column, and the row's copy. Inside: the sum and its exponential, and the result that the process gets.
  expect(device.memory()).toMatchObject({
    bytes: 4096 + 2000,
    peak: 4096 + 2000,
    use: new Map([
      ['reserved', 4096],
      ['held', 2000],
    ]),
  });
  expect(largestRun()).toEqual({ name: 'sums', bytes: 2 * 4 * 1000 * 500 + 4 * 1000 });
  await sums.run({ x: there, y: row }, { s: device.reserve('float32', [1000]) });
  expect(device.memory()!.bytes).toBe(2 * 4096 + 2000);
  expect([...(await device.download(there)).data]).toEqual([...new Float32Array(1000)]);
});
