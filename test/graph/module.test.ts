/**
 * A parameter that is fed in another form: its value is computed in the graph, and cotangents pass through what multiplies it.
 */
import { expect, test } from 'vitest';
import { buildModule, type Module } from '../../src/graph/module.ts';
import { add } from '../../src/graph/ops/elementwise.ts';
import { gemm } from '../../src/graph/ops/matmul.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { floats } from '../../src/runtime/tensor.ts';

test('a parameter in another form', async () => {
  const module: Module = {
    name: 'product',
    params: { weight: [2, 3], bias: [2] },
    inputs: { x: ['N', 3] },
    constants: {},
    build: (w) => ({ y: gemm(w.x!, w.weight!, { transB: true, plus: w.bias! }) }),
    forms: {
      weight: {
        fed: { high: { shape: [2, 3] }, low: { shape: [2, 3] } },
        value: ({ high, low }) => add(high!, low!),
      },
    },
  };
  const { forward, backward } = buildModule(module);
  expect(Object.keys(forward.inputs).sort()).toEqual(['bias', 'weight.high', 'weight.low', 'x']);
  // What is not fed as it is is not trained.
  expect(Object.keys(backward.outputs).sort()).toEqual(['d.x', 'grad.bias']);
  const tensor = (values: number[], ...dims: number[]) => floats(Float32Array.from(values), dims);
  const feeds = {
    'weight.high': tensor([1, 2, 3, 4, 5, 6], 2, 3),
    'weight.low': tensor([0.5, 0, 0, 0, 0, 0.25], 2, 3),
    bias: tensor([10, 20], 2),
    x: tensor([1, 1, 2], 1, 3),
  };
  const [there, back] = [await cpu.compile(forward), await cpu.compile(backward)];
  expect([...(await there.run(feeds)).y!.data]).toEqual([19.5, 41.5]);
  const { 'd.x': dx } = await back.run({ ...feeds, 'd.y': tensor([1, 2], 1, 2), 'acc.bias': tensor([0, 0], 2) });
  expect([...dx!.data]).toEqual([9.5, 12, 15.5]);
  await Promise.all([there.release(), back.release()]);
});
