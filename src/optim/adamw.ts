/**
 * AdamW (Loshchilov & Hutter 2019) on flat arrays, in place, through one compiled graph run chunk by chunk.
 * Knows arrays and rates, not what the parameters are; schedules and clipping come in as numbers.
 *
 * Source: torch.optim.AdamW (decoupled decay, bias correction, no amsgrad). With c = sqrt(1 - beta2^t), its update
 * lr / (1 - beta1^t) · m / (sqrt(v) / c + eps) is written as lr c / (1 - beta1^t) · m / (sqrt(v) + eps c).
 */
import type { Graph } from '../graph/graph.ts';
import { add, div, mul, sqrt, square, sub } from '../graph/ops/elementwise.ts';
import { input } from '../graph/value.ts';
import { compile, type Feeds, type RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, floats } from '../runtime/tensor.ts';

export interface AdamWOptions extends RuntimeOptions {
  readonly beta1: number;
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly epsilon: number;
}

/** A parameter with its gradient and moments: four arrays of one length. Moments start as zeros. */
export interface AdamWParameter {
  readonly value: Float32Array;
  readonly grad: Float32Array;
  /** Running mean of the gradient. */
  readonly m: Float32Array;
  /** Running mean of the squared gradient. */
  readonly v: Float32Array;
  readonly learningRate: number;
  /** Share of the value that is lost per step, before the learning rate. */
  readonly weightDecay: number;
}

export interface AdamWStep {
  /** Number of this update, from 1. */
  readonly step: number;
  /** What gradients are multiplied by: the clip coefficient. */
  readonly gradScale: number;
}

export interface AdamW {
  /** One update of every parameter: writes value, m and v, and leaves zeros in grad. */
  update(parameters: readonly AdamWParameter[], step: AdamWStep): Promise<void>;
  release(): Promise<void>;
}

export async function createAdamW(options: AdamWOptions): Promise<AdamW> {
  const executable = await compile(updateGraph(options), options);
  return {
    async update(parameters, { step, gradScale }) {
      if (!Number.isInteger(step) || step < 1) throw new Error(`internal: AdamW step ${step}, expected 1, 2, ...`);
      const { beta1, beta2, epsilon } = options;
      const correction = Math.sqrt(1 - beta2 ** step);
      const common = {
        toMean: scalarTensor((1 - beta1) * gradScale),
        toRoot: scalarTensor(Math.sqrt(1 - beta2) * gradScale),
        epsilon: scalarTensor(epsilon * correction),
      };
      for (const { learningRate, weightDecay, ...arrays } of parameters) {
        checkLengths(arrays);
        const scalars = {
          ...common,
          rate: scalarTensor((learningRate * correction) / (1 - beta1 ** step)),
          keep: scalarTensor(1 - learningRate * weightDecay),
        };
        for (let start = 0; start < arrays.value.length; start += CHUNK) {
          const { value, grad, m, v } = chunkOf(arrays, start);
          const feeds: Feeds = { ...scalars, value, grad, m, v };
          await executable.run(feeds, { newValue: value, newM: m, newV: v });
          grad.data.fill(0); // while it is in the cache: a quarter of the time that clearing all gradients later takes
        }
      }
    },
    release: () => executable.release(),
  };
}

// --- internal ---

/**
 * Elements per run. A chunk's intermediates then stay in the last-level cache, its kernels are long enough to be worth
 * two threads, and the cost of starting a run is a few per cent of it; four times less or more is slower.
 */
const CHUNK = 2 ** 18;

/** Each moment and the value are read by one node only, before the node that writes them: outputs may go into inputs. */
function updateGraph({ beta1, beta2 }: AdamWOptions): Graph {
  const [value, grad, m, v] = [input('value', ['N']), input('grad', ['N']), input('m', ['N']), input('v', ['N'])];
  const [toMean, toRoot] = [input('toMean', []), input('toRoot', [])];
  const [rate, keep, epsilon] = [input('rate', []), input('keep', []), input('epsilon', [])];
  const newM = add(mul(m, beta1), mul(grad, toMean));
  const newV = add(mul(v, beta2), square(mul(grad, toRoot)));
  const newValue = sub(mul(value, keep), mul(div(newM, add(sqrt(newV), epsilon)), rate));
  return {
    name: 'adamw',
    inputs: { value, grad, m, v, toMean, toRoot, rate, keep, epsilon },
    outputs: { newM, newV, newValue },
  };
}

type Arrays = Pick<AdamWParameter, 'value' | 'grad' | 'm' | 'v'>;

function chunkOf(arrays: Arrays, start: number): Record<keyof Arrays, FloatTensor> {
  const end = Math.min(arrays.value.length, start + CHUNK);
  const cut = (array: Float32Array): FloatTensor => floats(array.subarray(start, end), [end - start]);
  return { value: cut(arrays.value), grad: cut(arrays.grad), m: cut(arrays.m), v: cut(arrays.v) };
}

function checkLengths({ value, grad, m, v }: Arrays): void {
  if (grad.length !== value.length || m.length !== value.length || v.length !== value.length) {
    throw new Error(
      `internal: AdamW arrays differ in length: value ${value.length}, grad ${grad.length}, m ${m.length}, v ${v.length}`,
    );
  }
}

const scalarTensor = (value: number): FloatTensor => floats(Float32Array.of(value), []);
