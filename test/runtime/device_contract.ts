/**
 * What every device keeps: one suite for all of them. A device is trusted with a model only because it passes this.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Graph } from '../../src/graph/graph.ts';
import { makeNode } from '../../src/graph/ops/define.ts';
import { add, mul } from '../../src/graph/ops/elementwise.ts';
import { putSlices } from '../../src/graph/ops/gather.ts';
import { gemm } from '../../src/graph/ops/matmul.ts';
import { logSoftmax } from '../../src/graph/ops/reduce.ts';
import { input, none } from '../../src/graph/value.ts';
import { type Device, type Executable, fill, isHere } from '../../src/runtime/device.ts';
import { createRowMoves } from '../../src/runtime/row_moves.ts';
import {
  bytes,
  type FloatTensor,
  floats,
  type HostTensor,
  halves,
  ints,
  type Tensor,
} from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';

export function describeDevice(name: string, open: () => Device | Promise<Device>): void {
  describe(`the device ${name}`, () => {
    let device: Device;
    const compiled: Executable[] = [];
    beforeAll(async () => {
      device = await open();
    });
    afterAll(async () => {
      for (const executable of compiled) await executable.release();
    });
    const compile = async (graph: Graph): Promise<Executable> => {
      const executable = await device.compile(graph);
      compiled.push(executable);
      return executable;
    };
    const elements = async (tensor: Tensor): Promise<number[]> => [...(await device.download(tensor)).data];

    test('has a name, and says whether its memory is that of this process', () => {
      expect(device.name).toBe(name);
      expect(device.sharesMemory).toBe(name === 'cpu');
    });

    describe('memory', () => {
      const cases: readonly [string, HostTensor][] = [
        [
          'float32, as many as no kernel writes at once',
          vector(1.5, Number.NaN, -0, Number.POSITIVE_INFINITY, 2, 3, 4),
        ],
        ['int32', ints(Int32Array.of(1, -2, 2 ** 31 - 1, 4, 5), [5])],
        ['bytes', bytes(Uint8Array.of(1, 255, 0, 7, 9), [5])],
        ['float16 words', halves(Uint16Array.of(0x3c00, 0xbc00, 0x7bff), [3])],
        [
          'several axes',
          floats(
            Float32Array.from({ length: 24 }, (_, i) => i),
            [2, 3, 4],
          ),
        ],
        ['a number', floats(Float32Array.of(7), [])],
        ['nothing', floats(new Float32Array(0), [0, 4])],
      ];
      test.each(cases)('what is uploaded comes back: %s', async (_, tensor) => {
        const there = await device.upload(tensor);
        expect([there.dtype, there.dims]).toEqual([tensor.dtype, tensor.dims]);
        expect(isHere(there)).toBe(device.sharesMemory);
        const back = await device.download(there);
        expect(back).toEqual(tensor);
        device.release(there);
      });

      test('what is allocated is zero', async () => {
        for (const dtype of ['float32', 'int32', 'float16'] as const) {
          const tensor = await device.allocate(dtype, [3, 5]);
          expect([tensor.dtype, tensor.dims]).toEqual([dtype, [3, 5]]);
          expect(await elements(tensor)).toEqual(new Array(15).fill(0));
          device.release(tensor);
        }
      });

      test('a view has the same elements under other sizes, and shares their memory', async () => {
        const { add: plus } = await arithmetic(compile);
        const whole = await device.upload(floats(Float32Array.of(1, 2, 3, 4, 5, 6), [6]));
        const turned = device.view(whole, [2, 3]);
        expect(turned.dims).toEqual([2, 3]);
        expect(await elements(turned)).toEqual([1, 2, 3, 4, 5, 6]);
        await plus.run({ x: vector(1, 1, 1, 1, 1, 1), y: vector(1, 2, 3, 4, 5, 6) }, { sum: whole });
        expect(await elements(turned)).toEqual([2, 3, 4, 5, 6, 7]);
        expect(() => device.view(whole, [4])).toThrow('internal: 6 elements for dims [4]');
      });

      test('a reserved tensor takes what is written to it, and its memory other sizes', async () => {
        const { add: plus } = await arithmetic(compile);
        const tensor = device.reserve('float32', [6]);
        await plus.run({ x: vector(1, 2, 3, 4, 5, 6), y: vector(1, 1, 1, 1, 1, 1) }, { sum: tensor });
        expect(await elements(tensor)).toEqual([2, 3, 4, 5, 6, 7]);
        await device.clear(tensor);
        expect(await elements(tensor)).toEqual([0, 0, 0, 0, 0, 0]);
        await device.write(tensor, vector(6, 5, 4, 3, 2, 1));
        expect(await elements(tensor)).toEqual([6, 5, 4, 3, 2, 1]);
        for (const size of [4, 5000]) {
          const other = device.reuse(tensor, [size]);
          await device.clear(other);
          expect(await elements(other)).toEqual(new Array(size).fill(0));
        }
        device.release(tensor);
        device.tidy();
      });

      test('rows share the memory of the whole: they are read, written and cleared alone', async () => {
        const { add: plus } = await arithmetic(compile);
        const whole = await device.upload(floats(Float32Array.from(counting(30)), [10, 3]));
        const some = device.rows(whole, 4, 7);
        expect(some.dims).toEqual([3, 3]);
        expect(await elements(some)).toEqual(counting(9, 12));
        expect(await elements(device.rows(some, 1, 2))).toEqual([15, 16, 17]);
        const flat = (tensor: Tensor): Tensor => device.view(tensor, [tensor.dims[0]! * 3]);
        await plus.run({ x: flat(some), y: flat(device.rows(whole, 0, 3)) }, { sum: flat(device.rows(whole, 7, 10)) });
        const expected = counting(30);
        for (let i = 0; i < 9; i++) expected[21 + i] = i + 12 + i;
        expect(await elements(whole)).toEqual(expected);
        // The words behind the first rows, of which there is no multiple of four, stay.
        await plus.run({ x: flat(some), y: flat(some) }, { sum: flat(device.rows(whole, 0, 3)) });
        for (let i = 0; i < 9; i++) expected[i] = 2 * expected[12 + i]!;
        expect(await elements(whole)).toEqual(expected);
        await device.clear(device.rows(whole, 2, 4));
        expected.fill(0, 6, 12);
        expect(await elements(whole)).toEqual(expected);
        await device.clear(device.rows(whole, 3, 3));
        expect(await elements(device.rows(whole, 3, 3))).toEqual([]);
        expect(() => device.rows(whole, 3, 11)).toThrow('internal: rows 3..11 of a tensor with 10 rows');
      });

      test('rows are gathered, put, copied and added by their numbers', async () => {
        const moves = createRowMoves(device);
        const from = await device.upload(floats(Float32Array.from(counting(12)), [4, 3]));
        const into = await device.upload(floats(new Float32Array(15).fill(-1), [5, 3]));
        const some = device.rows(into, 0, 3);
        expect(await moves.gather(from, Int32Array.of(2, 3, 0), some)).toBe(some);
        expect(await elements(into)).toEqual([...counting(6, 6), ...counting(3), -1, -1, -1, -1, -1, -1]);
        await moves.put(device.rows(from, 0, 2), Int32Array.of(4, 1), into);
        expect(await elements(into)).toEqual([6, 7, 8, 3, 4, 5, ...counting(3), -1, -1, -1, ...counting(3)]);
        await moves.add(from, Int32Array.of(1, 1, 3, 1), into);
        expect(await elements(into)).toEqual([6, 7, 8, 15, 19, 23, ...counting(3), 5, 6, 7, ...counting(3)]);
        await moves.put(device.rows(from, 1, 1), Int32Array.of(), into);
        await moves.copy(from, Int32Array.of(3, 1), into, Int32Array.of(0, 4));
        expect(await elements(into)).toEqual([9, 10, 11, 15, 19, 23, ...counting(3), 5, 6, 7, 3, 4, 5]);
        await moves.release();
      });

      test('many rows are added to one place with the same bits every time', async () => {
        const moves = createRowMoves(device);
        const random = createRandom(4);
        const [rows, width, places] = [700, 33, 5];
        const from = floats(
          Float32Array.from({ length: rows * width }, () => random.normal()),
          [rows, width],
        );
        const indices = Int32Array.from({ length: rows }, () => random.int(places));
        const exact = new Float64Array(places * width);
        const sizes = new Float64Array(places * width);
        for (const [i, x] of from.data.entries()) {
          const at = indices[Math.floor(i / width)]! * width + (i % width);
          exact[at]! += x;
          sizes[at]! += Math.abs(x);
        }
        const there = await device.upload(from);
        const sums: number[][] = [];
        for (let i = 0; i < 4; i++) {
          const into = await device.allocate('float32', [places, width]);
          await moves.add(there, indices, into);
          sums.push(await elements(into));
        }
        for (const again of sums.slice(1)) expect(again).toEqual(sums[0]);
        for (const [at, x] of sums[0]!.entries())
          expect(Math.abs(x - exact[at]!)).toBeLessThanOrEqual(rows * 2 ** -24 * sizes[at]!);
        expect(await elements(there)).toEqual([...from.data]);
        await moves.release();
      });

      test('elements are written over those of a tensor, which its views see', async () => {
        const tensor = await device.upload(vector(1, 2, 3, 4, 5, 6));
        const turned = device.view(tensor, [2, 3]);
        const before = device.traffic.toDevice;
        await device.write(tensor, vector(7, 8, 9, 10, 11, 12));
        expect(await elements(turned)).toEqual([7, 8, 9, 10, 11, 12]);
        await fill(device, turned, (set) => set.fill(5));
        expect(await elements(tensor)).toEqual([5, 5, 5, 5, 5, 5]);
        expect(device.traffic.toDevice - before).toBe(device.sharesMemory ? 0 : 48);
        const here = vector(0, 0);
        await device.write(here, vector(3, 4));
        expect([...here.data]).toEqual([3, 4]);
      });

      test('bytes that cross are counted, both ways', async () => {
        const before = { ...device.traffic };
        const tensor = await device.upload(vector(1, 2, 3, 4));
        await device.download(tensor);
        const moved = device.sharesMemory ? 0 : 16;
        expect(device.traffic.toDevice - before.toDevice).toBe(moved);
        expect(device.traffic.fromDevice - before.fromDevice).toBe(moved);
      });
    });

    describe('runs', () => {
      test('on tensors of this process and of the device, into either, or into new memory of this process', async () => {
        const { add: plus } = await arithmetic(compile);
        const [x, y] = [vector(1, 2, 3, 4, 5), vector(10, 20, 30, 40, 50)];
        const [xThere, yThere] = [await device.upload(x), await device.upload(y)];
        const expected = [11, 22, 33, 44, 55];
        for (const feeds of [
          { x, y },
          { x: xThere, y },
          { x: xThere, y: yThere },
        ]) {
          expect([...(await plus.run(feeds)).sum!.data]).toEqual(expected);
          const here = vector(0, 0, 0, 0, 0);
          expect((await plus.run(feeds, { sum: here })).sum).toBe(here);
          expect([...here.data]).toEqual(expected);
          const there = await device.allocate('float32', [5]);
          await plus.run(feeds, { sum: there });
          expect(await elements(there)).toEqual(expected);
        }
        expect(await elements(xThere)).toEqual([...x.data]);
      });

      test('a tensor of this process is read anew at every run, unless it is held', async () => {
        const { add: plus } = await arithmetic(compile);
        const [x, y, zero] = [vector(1, 2, 3, 4), device.hold(vector(1, 1, 1, 1)), vector(0, 0, 0, 0)];
        expect([...(await plus.run({ x, y })).sum!.data]).toEqual([2, 3, 4, 5]);
        x.data[0] = 100;
        const before = device.traffic.toDevice;
        expect([...(await plus.run({ x, y })).sum!.data]).toEqual([101, 3, 4, 5]);
        expect(device.traffic.toDevice - before).toBe(device.sharesMemory ? 0 : 16);
        const again = device.hold(floats(y.data, [4]));
        expect([...(await plus.run({ x: zero, y: again })).sum!.data]).toEqual([1, 1, 1, 1]);
        expect(device.traffic.toDevice - before).toBe(device.sharesMemory ? 0 : 32);
      });

      test('into a tensor that it reads, also where that is a part of one', async () => {
        const { add: plus } = await arithmetic(compile);
        const one = vector(1, 1, 1, 1, 1);
        const sum = await device.upload(vector(1, 2, 3, 4, 5));
        const again = device.view(sum, [5]);
        for (let i = 0; i < 3; i++) await plus.run({ x: sum, y: one }, { sum: again });
        expect(await elements(sum)).toEqual([4, 5, 6, 7, 8]);
        const whole = await device.upload(vector(0, 1, 2, 3, 4, 5, 6, 7));
        const [front, back] = [device.rows(whole, 0, 5), device.rows(whole, 3, 8)];
        await plus.run({ x: back, y: one }, { sum: back });
        expect(await elements(whole)).toEqual([0, 1, 2, 4, 5, 6, 7, 8]);
        await plus.run({ x: front, y: one }, { sum: front });
        expect(await elements(whole)).toEqual([1, 2, 3, 5, 6, 6, 7, 8]);
      });

      test('memory in use is counted where it is the device’s own', async () => {
        if (device.sharesMemory) expect(device.memory()).toBeNull();
        else {
          device.tidy();
          const before = device.memory()!.bytes;
          const tensor = await device.upload(floats(new Float32Array(2 ** 16), [2 ** 16]));
          expect(device.memory()!.bytes - before).toBe(2 ** 18);
          expect(device.memory()!.peak).toBeGreaterThanOrEqual(before + 2 ** 18);
          device.release(tensor);
          device.tidy();
          expect(device.memory()!.bytes).toBe(before);
        }
      });

      test('only what is wanted is computed; a wrong name is told', async () => {
        const { add: plus } = await arithmetic(compile);
        const feeds = { x: vector(1, 2), y: vector(3, 4) };
        expect(Object.keys(await plus.run(feeds, {}, ['product']))).toEqual(['product']);
        await expect(plus.run({ x: feeds.x })).rejects.toThrow("internal: graph arithmetic: input 'y' is not fed");
        await expect(plus.run(feeds, { quotient: vector(0, 0) })).rejects.toThrow(
          "internal: graph arithmetic has no output 'quotient'",
        );
      });

      test('one executable serves every length', async () => {
        const { add: plus } = await arithmetic(compile);
        for (const length of [1, 2, 3, 4, 5, 63, 64, 65, 1000]) {
          const x = floats(
            Float32Array.from({ length }, (_, i) => i),
            [length],
          );
          const { sum, product } = await plus.run({ x, y: x });
          expect([...sum!.data]).toEqual([...x.data].map((value) => 2 * value));
          expect([...product!.data]).toEqual([...x.data].map((value) => value ** 2));
        }
      });

      test('slices are put into a tensor in place, and the rest of it stays', async () => {
        const [x, index, slices] = [input('x', ['A', 'B', 4]), input('i', ['M', 2], 'int32'), input('s', ['M', 4])];
        const put = await compile({
          name: 'put',
          inputs: { x, i: index, s: slices },
          outputs: { y: putSlices(x, index, slices) },
        });
        const whole = await device.upload(
          floats(
            Float32Array.from({ length: 24 }, (_, i) => i),
            [2, 3, 4],
          ),
        );
        const feeds = {
          x: whole,
          i: ints(Int32Array.of(0, 1, 1, 2), [2, 2]),
          s: floats(new Float32Array(8).fill(-1), [2, 4]),
        };
        await put.run(feeds, { y: whole });
        const expected = Array.from({ length: 24 }, (_, i) => ((i >= 4 && i < 8) || i >= 20 ? -1 : i));
        expect(await elements(whole)).toEqual(expected);
      });

      test('int32 results', async () => {
        const index = input('index', ['N'], 'int32');
        const emit = { op: 'same', inputs: [index], shape: ['N'], dtype: 'int32', vjp: none('a test') } as const;
        const same = makeNode({ ...emit, emit: (emitter, names) => emitter.node('Identity', names) });
        const executable = await compile({ name: 'same', inputs: { index }, outputs: { same } });
        const results = await executable.run({ index: ints(Int32Array.of(5, -7), [2]) });
        expect(results.same).toEqual(ints(Int32Array.of(5, -7), [2]));
      });
    });

    test('products and a log-softmax are those of float64, to the rounding of float32', async () => {
      const [m, k, n] = [37, 129, 65];
      const [x, w, b] = [input('x', ['M', k]), input('w', [n, k]), input('b', [n])];
      const logits = gemm(x, w, { transB: true, plus: b });
      const graph = await compile({
        name: 'head',
        inputs: { x, w, b },
        outputs: { logits, logps: logSoftmax(logits) },
      });
      const random = createRandom(5);
      const drawn = (...dims: number[]): FloatTensor => {
        const length = dims.reduce((product, dim) => product * dim, 1);
        return floats(
          Float32Array.from({ length }, () => random.normal()),
          dims,
        );
      };
      const feeds = { x: drawn(m, k), w: drawn(n, k), b: drawn(n) };
      const { logits: got, logps } = await graph.run(feeds);
      for (let row = 0; row < m; row++) {
        const exact = Array.from({ length: n }, (_, out) => {
          let total: number = feeds.b.data[out]!;
          let size = Math.abs(total);
          for (let i = 0; i < k; i++) {
            const term = feeds.x.data[row * k + i]! * feeds.w.data[out * k + i]!;
            total += term;
            size += Math.abs(term);
          }
          return { total, size };
        });
        const largest = Math.max(...exact.map(({ total }) => total));
        const logSum = largest + Math.log(exact.reduce((sum, { total }) => sum + Math.exp(total - largest), 0));
        // k products and k sums, each rounded by at most 2^-24 of what was summed so far (Higham 2002, section 3.1).
        const bound = Math.max(...exact.map(({ size }) => (k + 1) * 2 ** -24 * size));
        for (const [out, { total }] of exact.entries()) {
          expect(Math.abs(got!.data[row * n + out]! - total)).toBeLessThanOrEqual(bound);
          // Of exp, log and their arguments: a few units in the last place of numbers below 64.
          expect(Math.abs(logps!.data[row * n + out]! - (total - logSum))).toBeLessThanOrEqual(
            2 * bound + 64 * 2 ** -22,
          );
        }
      }
    });
  });
}

// --- internal ---

/** from, from + 1, … */
const counting = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => from + i);

const vector = (...data: number[]): FloatTensor => floats(Float32Array.from(data), [data.length]);

async function arithmetic(compile: (graph: Graph) => Promise<Executable>): Promise<{ add: Executable }> {
  const [x, y] = [input('x', ['N']), input('y', ['N'])];
  const outputs = { sum: add(x, y), product: mul(x, y) };
  return { add: await compile({ name: 'arithmetic', inputs: { x, y }, outputs }) };
}
