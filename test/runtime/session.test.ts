import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ALL_KERNELS } from '../../src/graph/kernels.ts';
import { makeNode } from '../../src/graph/ops/define.ts';
import { add, exp, lessOrEqual, mul, square } from '../../src/graph/ops/elementwise.ts';
import { takeRows } from '../../src/graph/ops/gather.ts';
import { accumulate, gemm } from '../../src/graph/ops/matmul.ts';
import { sum } from '../../src/graph/ops/reduce.ts';
import { input, none, type Value } from '../../src/graph/value.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Executable } from '../../src/runtime/device.ts';
import { openSession, runtimeVersion } from '../../src/runtime/session.ts';
import { type FloatTensor, floats, ints, rows, view, zeros } from '../../src/runtime/tensor.ts';

const [x, y] = [input('x', ['N']), input('y', ['N'])];
const vector = (...data: number[]): FloatTensor => floats(Float32Array.from(data), [data.length]);

/** Compiles for the length of a test. */
async function withGraph(
  inputs: Record<string, Value>,
  outputs: Record<string, Value>,
  use: (executable: Executable) => Promise<void>,
): Promise<void> {
  const executable = await cpu.compile({ name: 'the graph', inputs, outputs });
  try {
    await use(executable);
  } finally {
    await executable.release();
  }
}

describe('outputs', () => {
  const outputs = { sum: add(x, y), product: mul(x, y) };

  test('come back in fresh memory', () =>
    withGraph({ x, y }, outputs, async (graph) => {
      const feeds = { x: vector(1, 2, 3), y: vector(4, 5, 6) };
      const [first, second] = [await graph.run(feeds), await graph.run(feeds)];
      expect(first.sum).toEqual(vector(5, 7, 9));
      expect(first.product).toEqual(vector(4, 10, 18));
      expect(second.sum!.data.buffer).not.toBe(first.sum!.data.buffer);
    }));

  test('go into given buffers', () =>
    withGraph({ x, y }, outputs, async (graph) => {
      const sum = zeros(2);
      const results = await graph.run({ x: vector(1, 2), y: vector(3, 4) }, { sum });
      expect(results.sum).toBe(sum);
      expect([...sum.data]).toEqual([4, 6]);
      expect(results.product).toEqual(vector(3, 8));
    }));

  test('go into the middle of a bigger buffer, and leave its rest alone', () =>
    withGraph({ x, y }, outputs, async (graph) => {
      const whole = floats(new Float32Array(6).fill(9), [3, 2]);
      const sum = view(rows(whole, 1, 2), 2);
      await graph.run({ x: vector(1, 2), y: vector(3, 4) }, { sum }, ['sum']);
      expect([...whole.data]).toEqual([9, 9, 4, 6, 9, 9]);
    }));

  test('a run that fails says so, given buffers or not', () =>
    withGraph({ x, y }, outputs, async (graph) => {
      const into = { sum: zeros(3), product: zeros(3) };
      await expect(graph.run({ x: vector(1, 2, 3), y: vector(1, 2) }, into)).rejects.toThrow(
        'internal: graph the graph',
      );
    }));

  test('only those that are wanted', () =>
    withGraph({ x, y }, outputs, async (graph) => {
      const results = await graph.run({ x: vector(1), y: vector(2) }, {}, ['product']);
      expect(results).toEqual({ product: vector(2) });
    }));

  test('of int32', () => {
    const index = input('index', ['N'], 'int32');
    const same = makeNode({
      op: 'same',
      inputs: [index],
      shape: ['N'],
      dtype: 'int32',
      emit: (emitter, names) => emitter.node('Identity', names),
      vjp: none('a test'),
    });
    return withGraph({ index }, { same }, async (graph) => {
      const target = ints(new Int32Array(2), [2]);
      const results = await graph.run({ index: ints(Int32Array.of(5, -7), [2]) });
      await graph.run({ index: ints(Int32Array.of(8, 9), [2]) }, { same: target });
      expect(results.same).toEqual(ints(Int32Array.of(5, -7), [2]));
      expect([...target.data]).toEqual([8, 9]);
    });
  });

  test('of length 0', () =>
    withGraph({ x, y }, outputs, async (graph) => {
      expect((await graph.run({ x: vector(), y: vector() })).sum).toEqual(vector());
    }));
});

describe('large outputs into given buffers', () => {
  const n = 2 ** 20;
  const ones = floats(new Float32Array(n).fill(1), [n]);

  test('all of them', () =>
    withGraph({ x, y }, { sum: add(x, y), product: mul(x, y) }, async (graph) => {
      const into = { sum: zeros(n), product: zeros(n) };
      const results = await graph.run({ x: ones, y: ones }, into);
      expect(results.sum).toBe(into.sum);
      expect(into.sum.data.every((value) => value === 2)).toBe(true);
      expect(into.product.data.every((value) => value === 1)).toBe(true);
    }));

  test('some of them', () =>
    withGraph({ x, y }, { sum: add(x, y), product: mul(x, y) }, async (graph) => {
      const sum = zeros(n);
      const { product } = await graph.run({ x: ones, y: ones }, { sum });
      expect(sum.data.every((value) => value === 2)).toBe(true);
      expect(product!.data.every((value) => value === 1)).toBe(true);
    }));

  test('are not copied: the memory of buffers does not grow', () =>
    withGraph({ x }, { out: exp(x) }, async (graph) => {
      const out = zeros(n);
      await graph.run({ x: ones }, { out });
      const before = process.memoryUsage().arrayBuffers;
      for (let i = 0; i < 8; i++) await graph.run({ x: ones }, { out });
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * n);
    }));

  test('errors are still told', () =>
    withGraph({ x, y }, { out: add(x, y) }, async (graph) => {
      const run = graph.run({ x: ones, y: floats(new Float32Array(2), [2]) }, { out: zeros(n) });
      await expect(run).rejects.toThrow(/internal: graph the graph: (?!.*Non tensor)/s);
    }));
});

describe('an output into an input’s own buffer', () => {
  test('accumulates', () =>
    withGraph({ x, y }, { next: add(x, y) }, async (graph) => {
      const total = vector(10, 20);
      for (let i = 0; i < 3; i++) await graph.run({ x: total, y: vector(1, 2) }, { next: total });
      expect([...total.data]).toEqual([13, 26]);
    }));

  test('accumulates weight gradients in one kernel', () => {
    const [sum, dy, rowsIn] = [input('sum', [3, 2]), input('dy', ['M', 3]), input('rows', ['M', 2])];
    const next = accumulate(sum, gemm(dy, rowsIn, { transA: true }));
    return withGraph({ sum, dy, rows: rowsIn }, { next }, async (graph) => {
      const total = floats(Float32Array.of(1, 1, 1, 1, 1, 1), [3, 2]);
      const feeds = {
        sum: total,
        dy: floats(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
        rows: floats(Float32Array.of(1, 0, 0, 1), [2, 2]),
      };
      await graph.run(feeds, { next: total });
      await graph.run(feeds, { next: total });
      expect([...total.data]).toEqual([3, 9, 5, 11, 7, 13]);
    });
  });

  test('serves an output that other outputs read as well', () => {
    const next = add(x, y);
    return withGraph({ x, y }, { next, squared: square(next) }, async (graph) => {
      const total = vector(1, 2);
      const results = await graph.run({ x: total, y: vector(1, 1) }, { next: total });
      expect([...total.data]).toEqual([2, 3]);
      expect([...results.squared!.data]).toEqual([4, 9]);
    });
  });
});

/** Whether the processor says so; false where it cannot be asked. */
const hasAvx = (): boolean =>
  process.arch === 'x64' && existsSync('/proc/cpuinfo') && /\bavx\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));

test('numbers too small for a normal float32 are 0, on every thread', () =>
  withGraph({ x, y }, { product: mul(x, y) }, async (graph) => {
    const tiny = (value: number): FloatTensor => floats(new Float32Array(2 ** 20).fill(value), [2 ** 20]);
    const { product } = await graph.run({ x: tiny(1e-25), y: tiny(1e-15) });
    // ONNX Runtime flushes them on x86 with AVX; elsewhere each is what float32 has for the product.
    const [only, ...others] = new Set(product!.data);
    expect(others).toEqual([]);
    expect(only).toBeLessThan(1.01e-40);
    if (hasAvx()) expect(only).toBe(0);
    const kept = await graph.run({ x: tiny(1e-25), y: tiny(1e-12) });
    expect(kept.product!.data.every((value) => value > 0)).toBe(true);
  }));

test('one graph serves every length', () =>
  withGraph({ x, y }, { out: add(x, y) }, async (graph) => {
    for (const n of [1, 7, 1000, 3]) {
      const ones = floats(new Float32Array(n).fill(1), [n]);
      expect((await graph.run({ x: ones, y: ones })).out!.data.every((value) => value === 2)).toBe(true);
    }
    expect(graph.inputs).toEqual([
      { name: 'x', dtype: 'float32', shape: ['N'] },
      { name: 'y', dtype: 'float32', shape: ['N'] },
    ]);
    expect(graph.outputs).toEqual([{ name: 'out', dtype: 'float32', shape: ['N'] }]);
  }));

describe('errors name the graph', () => {
  test('an input that is not fed', () =>
    withGraph({ x, y }, { out: add(x, y) }, async (graph) => {
      await expect(graph.run({ x: vector(1) })).rejects.toThrow("internal: graph the graph: input 'y' is not fed");
    }));

  test('a graph that does not compile', async () => {
    const broken = makeNode({
      op: 'broken',
      inputs: [x],
      shape: ['N'],
      emit: (emitter, names) => emitter.node('NoSuchOp', names),
      vjp: none('a test'),
    });
    await expect(cpu.compile({ name: 'bad one', inputs: { x }, outputs: { broken } })).rejects.toThrow(
      /internal: graph bad one does not compile: .*NoSuchOp/s,
    );
  });

  test('sizes that do not fit each other', () =>
    withGraph({ x, y }, { out: add(x, y) }, async (graph) => {
      await expect(graph.run({ x: vector(1, 2, 3), y: vector(1, 2) })).rejects.toThrow(/internal: graph the graph: /);
    }));

  test('a size that is not the declared one', () => {
    const z = input('z', [3]);
    return withGraph({ z }, { out: exp(z) }, async (graph) => {
      await expect(graph.run({ z: vector(1, 2) })).rejects.toThrow(/internal: graph the graph: .*z/s);
    });
  });

  test('an element type that is not the declared one', () =>
    withGraph({ x }, { out: exp(x) }, async (graph) => {
      await expect(graph.run({ x: ints(Int32Array.of(1), [1]) })).rejects.toThrow(/internal: graph the graph: /);
    }));

  test('an index that is out of range', () => {
    const [table, index] = [input('table', ['V', 2]), input('index', ['M'], 'int32')];
    return withGraph({ table, index }, { out: takeRows(table, index) }, async (graph) => {
      const feeds = { table: zeros(3, 2), index: ints(Int32Array.of(3), [1]) };
      await expect(graph.run(feeds)).rejects.toThrow(/internal: graph the graph: .*out of data bounds/s);
    });
  });

  test('a buffer of the wrong size', () =>
    withGraph({ x }, { out: exp(x) }, async (graph) => {
      await expect(graph.run({ x: vector(1, 2) }, { out: zeros(3) })).rejects.toThrow(/internal: graph the graph: /);
    }));

  test('a buffer, or a wish, for an output that is not there', () =>
    withGraph({ x }, { out: exp(x) }, async (graph) => {
      const message = "internal: graph the graph has no output 'other'";
      await expect(graph.run({ x: vector(1) }, { other: zeros(1) })).rejects.toThrow(message);
      await expect(graph.run({ x: vector(1) }, {}, ['other'])).rejects.toThrow(message);
    }));

  test('an output that cannot be handed over', () =>
    withGraph({ x, y }, { out: lessOrEqual(x, y) }, async (graph) => {
      await expect(graph.run({ x: vector(1), y: vector(2) })).rejects.toThrow(/internal: .*output of type bool/);
    }));
});

describe('tensors', () => {
  test('hold as many elements as their sizes say', () => {
    expect(() => floats(new Float32Array(5), [2, 3])).toThrow('internal: 5 elements for dims [2,3]');
    expect(() => ints(new Int32Array(1), [])).not.toThrow();
  });

  test('rows and views share memory', () => {
    const tensor = zeros(3, 2);
    rows(tensor, 1, 3).data.fill(1);
    view(tensor, 6).data[0] = 5;
    expect([...tensor.data]).toEqual([5, 0, 1, 1, 1, 1]);
    expect(rows(tensor, 1, 1).dims).toEqual([0, 2]);
    expect(() => rows(tensor, 2, 4)).toThrow('internal: rows 2..4 of a tensor with 3 rows');
    expect(() => rows(tensor, 2, 1)).toThrow('internal: rows 2..1');
  });
});

test('the runtime tells its version', async () => {
  expect(await runtimeVersion()).toMatch(/^onnxruntime-node \d+\.\d+\.\d+/);
});

test('a value that no tensor of the device could hold is refused before the run, with its sizes', async () => {
  const room = { bytes: 0, largest: 100, drain: () => false };
  const column = input('column', ['N', 1]);
  const graph = await openSession(
    { name: 'the graph', inputs: { x, column }, outputs: { y: sum(mul(x, column), [0, 1]) } },
    { kernels: ALL_KERNELS, room },
  );
  const feeds = (n: number) => ({ x: zeros(n), column: zeros(n, 1) });
  expect((await graph.run(feeds(5))).y!.data[0]).toBe(0);
  await expect(graph.run(feeds(6))).rejects.toMatchObject({
    code: 'E_DEVICE_MEMORY',
    message: expect.stringMatching(/takes no tensor above .* GiB: a value \[6,6\] of the graph/),
  });
  await graph.release();
});
