/**
 * The current rates of the machine: of matrix products in the model's shapes, and of streaming its weights.
 * Uses the model's kernels, runtime and weights, with nothing between the products; buffers are allocated before the clock
 * starts.
 */

import { headName } from '../src/engine/heads.ts';
import type { Parameters } from '../src/engine/parameters.ts';
import type { Graph } from '../src/graph/graph.ts';
import { gemm } from '../src/graph/ops/matmul.ts';
import { input, type Value } from '../src/graph/value.ts';
import type { TextConfig } from '../src/models/architecture.ts';
import { cpu } from '../src/runtime/cpu.ts';
import type { Executable } from '../src/runtime/device.ts';
import { here } from '../src/runtime/device.ts';
import { type FloatTensor, zeros } from '../src/runtime/tensor.ts';
import { createHostWorkspace } from '../src/runtime/workspace.ts';
import { linearShapes, rowsOf, type StepSizes } from './flops.ts';
import { median, timed } from './statistics.ts';

export interface MachineRates {
  /** FLOP per millisecond of the products of a training step: forward, gradients of activations, gradients of weights. */
  readonly sgemm: number;
  /** Bytes per millisecond of a one-row product with each of the decoder's weights, in the faster operand order. */
  readonly stream: number;
}

export interface Rates {
  measure(step: StepSizes): Promise<MachineRates>;
  release(): Promise<void>;
}

/** A measurement is the median of so many runs of one product, and of so many passes over all weights. */
const PRODUCT_RUNS = 3;
const STREAM_PASSES = 5;

export async function createRates(text: TextConfig, parameters: Parameters): Promise<Rates> {
  const products = await compileProducts();
  const shapes = linearShapes(text);
  const tableName = headName(text)('head.weight');
  const streams = await Promise.all([true, false].map((left) => compileStream(text, parameters, left)));
  const buffers = createHostWorkspace();

  /** The buffer of a name, the same at every measurement, with all of its pages allocated. */
  function touched(name: string, ...dims: number[]): FloatTensor {
    const tensor = buffers.get(name, ...dims);
    tensor.data.fill(0.25);
    return tensor;
  }

  /** Times the three products of one linear layer. */
  async function layer(
    weight: FloatTensor,
    bias: FloatTensor | null,
    rows: number,
  ): Promise<{ flop: number; ms: number }> {
    const [outputs, inputs] = weight.dims as [number, number];
    const [x, dy, acc] = [touched('x', rows, inputs), touched('dy', rows, outputs), touched('acc', outputs, inputs)];
    const [y, dx] = [touched('y', rows, outputs), touched('dx', rows, inputs)];
    const runs = [
      () =>
        bias === null
          ? products.plain.run({ x, w: weight }, { y })
          : products.biased.run({ x, w: weight, b: bias }, { y }),
      () => products.byActivation.run({ dy, w: weight }, { dx }),
      () => products.byWeight.run({ dy, x, acc }, { dw: acc }),
    ];
    let ms = 0;
    for (const run of runs) ms += await medianTime(run, PRODUCT_RUNS);
    return { flop: 3 * 2 * rows * inputs * outputs, ms };
  }

  async function sgemm(step: StepSizes): Promise<number> {
    let [flop, ms] = [0, 0];
    for (const { name, bias } of shapes) {
      const one = await layer(
        here(parameters.value(`model.layers.0.${name}.weight`)),
        bias ? here(parameters.value(`model.layers.0.${name}.bias`)) : null,
        rowsOf(step),
      );
      flop += text.numHiddenLayers * one.flop;
      ms += text.numHiddenLayers * one.ms;
    }
    const head = await layer(here(parameters.value(tableName)), null, step.completions * step.tokens);
    return (flop + head.flop) / (ms + head.ms);
  }

  async function stream(): Promise<number> {
    const found: number[] = [];
    for (const { executable, feeds, into, bytes } of streams) {
      found.push(bytes / (await medianTime(() => executable.run(feeds, into), STREAM_PASSES)));
    }
    return Math.max(...found);
  }

  return {
    measure: async (step) => ({ sgemm: await sgemm(step), stream: await stream() }),

    async release() {
      await Promise.all(
        [...Object.values(products), ...streams.map((stream) => stream.executable)].map((e) => e.release()),
      );
    },
  };
}

// --- internal ---

/** Median time of a run in milliseconds, after one warm-up run. */
async function medianTime(run: () => Promise<unknown>, count: number): Promise<number> {
  await run();
  const times: number[] = [];
  for (let i = 0; i < count; i++) times.push((await timed(run)).ms);
  return median(times);
}

/** The products of a linear layer, as in the model's graphs. */
async function compileProducts() {
  const x = input('x', ['N', 'I']);
  const w = input('w', ['O', 'I']);
  const b = input('b', ['O']);
  const dy = input('dy', ['N', 'O']);
  const acc = input('acc', ['O', 'I']);
  const of = (name: string, inputs: Graph['inputs'], outputs: Graph['outputs']): Promise<Executable> =>
    cpu.compile({ name, inputs, outputs });
  const [plain, biased, byActivation, byWeight] = await Promise.all([
    of('linear', { x, w }, { y: gemm(x, w, { transB: true }) }),
    of('linear with bias', { x, w, b }, { y: gemm(x, w, { transB: true, plus: b }) }),
    of('gradient by activation', { dy, w }, { dx: gemm(dy, w) }),
    of('gradient by weight', { dy, x, acc }, { dw: gemm(dy, x, { transA: true, plus: acc }) }),
  ]);
  return { plain, biased, byActivation, byWeight };
}

/** One graph that multiplies each weight of the decoder and the head with one row. */
async function compileStream(text: TextConfig, parameters: Parameters, weightLeft: boolean) {
  const names = Array.from({ length: text.numHiddenLayers }, (_, layer) =>
    linearShapes(text).map(({ name }) => `model.layers.${layer}.${name}.weight`),
  ).flat();
  names.push(headName(text)('head.weight'));
  const inputs: Record<string, Value> = {};
  const outputs: Record<string, Value> = {};
  const feeds: Record<string, FloatTensor> = {};
  const into: Record<string, FloatTensor> = {};
  let bytes = 0;
  for (const [i, name] of names.entries()) {
    const weight = here(parameters.value(name));
    const [rows, width] = weight.dims as [number, number];
    const x = inputs[`x${width}`] ?? input(`x${width}`, [1, width]);
    const w = input(`w${i}`, [rows, width]);
    Object.assign(inputs, { [`x${width}`]: x, [`w${i}`]: w });
    outputs[`y${i}`] = weightLeft ? gemm(w, x, { transB: true }) : gemm(x, w, { transB: true });
    feeds[`x${width}`] ??= zeros(1, width);
    feeds[`w${i}`] = weight;
    into[`y${i}`] = weightLeft ? zeros(rows, 1) : zeros(1, rows);
    bytes += weight.data.byteLength;
  }
  const executable = await cpu.compile({ name: 'stream', inputs, outputs });
  return { executable, feeds, into, bytes };
}
