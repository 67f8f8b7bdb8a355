/**
 * AdamW (Loshchilov & Hutter 2019) on flat arrays, in place. One compiled graph is run chunk by chunk; short arrays are
 * updated in JavaScript. Knows arrays and rates, not what the parameters are; schedules and clipping arrive as numbers.
 *
 * Source: torch.optim.AdamW (decoupled decay, bias correction, no amsgrad). With c = sqrt(1 - beta2^t), its update
 * lr / (1 - beta1^t) · m / (sqrt(v) / c + eps) is computed as lr c / (1 - beta1^t) · m / (sqrt(v) + eps c).
 */
import type { Graph } from '../graph/graph.ts';
import { add, div, mul, sqrt, square, sub } from '../graph/ops/elementwise.ts';
import { input } from '../graph/value.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Device, Feeds } from '../runtime/device.ts';
import { type FloatTensor, floats } from '../runtime/tensor.ts';

export interface AdamWOptions {
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
  /** Decoupled weight decay: each step multiplies the value by 1 - learningRate * weightDecay. */
  readonly weightDecay: number;
}

export interface AdamWStep {
  /** Number of this update, from 1. */
  readonly step: number;
  /** Factor of all gradients: the clip coefficient. */
  readonly gradScale: number;
}

export interface AdamW {
  /** Updates every parameter once: writes value, m and v, and sets grad to zero. */
  update(parameters: readonly AdamWParameter[], step: AdamWStep): Promise<void>;
  release(): Promise<void>;
}

export async function createAdamW(options: AdamWOptions, device: Device = cpu): Promise<AdamW> {
  const executable = await device.compile(updateGraph(options));
  return {
    async update(parameters, { step, gradScale }) {
      if (!Number.isInteger(step) || step < 1) throw new Error(`internal: AdamW step ${step}, expected 1, 2, ...`);
      const { beta1, beta2, epsilon } = options;
      const correction = Math.sqrt(1 - beta2 ** step);
      const common = {
        toMean: (1 - beta1) * gradScale,
        toRoot: Math.sqrt(1 - beta2) * gradScale,
        epsilon: epsilon * correction,
      };
      for (const { learningRate, weightDecay, ...arrays } of parameters) {
        checkLengths(arrays);
        const rates: Rates = {
          ...common,
          rate: (learningRate * correction) / (1 - beta1 ** step),
          keep: 1 - learningRate * weightDecay,
        };
        if (arrays.value.length < WORTH_A_RUN) {
          updateHere(arrays, rates, options);
          continue;
        }
        const scalars = Object.fromEntries(Object.entries(rates).map(([name, rate]) => [name, scalarTensor(rate)]));
        for (let start = 0; start < arrays.value.length; start += CHUNK) {
          const { value, grad, m, v } = chunkOf(arrays, start);
          const feeds: Feeds = { ...scalars, value, grad, m, v };
          await executable.run(feeds, { newValue: value, newM: m, newV: v });
          grad.data.fill(0); // still in the cache: takes a quarter of the time of clearing all gradients later
        }
      }
    },
    release: () => executable.release(),
  };
}

// --- internal ---

/**
 * Elements per run. At this size a chunk's intermediates stay in the last-level cache, its kernels are long enough for two
 * threads, and starting a run costs a few per cent of it. Chunks four times smaller or larger are slower.
 */
const CHUNK = 2 ** 18;

/** Arrays with fewer elements (biases and norms, of which there are many) are faster in JavaScript than in a run. */
const WORTH_A_RUN = 2 ** 13;

/** The scalars of a step, with the clip coefficient and the bias correction folded in. */
interface Rates {
  readonly toMean: number;
  readonly toRoot: number;
  readonly epsilon: number;
  readonly rate: number;
  readonly keep: number;
}

/** Repeats the graph's arithmetic operation by operation in float32, so the results are equal to the last bit. */
function updateHere({ value, grad, m, v }: Arrays, rates: Rates, { beta1, beta2 }: AdamWOptions): void {
  const f = Math.fround;
  const [b1, b2, toMean, toRoot] = [f(beta1), f(beta2), f(rates.toMean), f(rates.toRoot)];
  const [rate, keep, epsilon] = [f(rates.rate), f(rates.keep), f(rates.epsilon)];
  for (let i = 0; i < value.length; i++) {
    const g = grad[i]!;
    const root = f(g * toRoot);
    const newM = f(f(m[i]! * b1) + f(g * toMean));
    const newV = f(f(v[i]! * b2) + f(root * root));
    m[i] = newM;
    v[i] = newV;
    value[i] = f(f(value[i]! * keep) - f(f(newM / f(f(Math.sqrt(newV)) + epsilon)) * rate));
    grad[i] = 0;
  }
}

/** A single node reads each moment and the value, before the node that writes them, so outputs may overwrite inputs. */
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
