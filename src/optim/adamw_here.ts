/**
 * AdamW's update in this process's memory: one compiled graph is run chunk by chunk; short arrays are updated in JavaScript.
 */
import { type Executable, type Feeds, here } from '../runtime/device.ts';
import { type FloatTensor, floats } from '../runtime/tensor.ts';
import type { AdamWOptions, AdamWTensors, Rates } from './adamw_rates.ts';

/** @param executable of the graph in adamw.ts */
export async function updateHere(
  executable: Executable,
  parameters: readonly (AdamWTensors & { readonly rates: Rates })[],
  options: AdamWOptions,
): Promise<void> {
  for (const { rates, value, grad, m, v } of parameters) {
    const arrays: Arrays = { value: here(value).data, grad: here(grad).data, m: here(m).data, v: here(v).data };
    if (arrays.value.length < WORTH_A_RUN) {
      updateShort(arrays, rates, options);
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
}

// --- internal ---

type Arrays = AdamWTensors<Float32Array>;

/**
 * Elements per run. At this size a chunk's intermediates stay in the last-level cache, its kernels are long enough for two
 * threads, and starting a run costs a few per cent of it. Chunks four times smaller or larger are slower.
 */
const CHUNK = 2 ** 18;

/** Arrays with fewer elements (biases and norms, of which there are many) are faster in JavaScript than in a run. */
const WORTH_A_RUN = 2 ** 13;

/** Repeats the graph's arithmetic operation by operation in float32, so the results are equal to the last bit. */
function updateShort({ value, grad, m, v }: Arrays, rates: Rates, { beta1, beta2 }: AdamWOptions): void {
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

function chunkOf(arrays: Arrays, start: number): AdamWTensors<FloatTensor> {
  const end = Math.min(arrays.value.length, start + CHUNK);
  const cut = (array: Float32Array): FloatTensor => floats(array.subarray(start, end), [end - start]);
  return { value: cut(arrays.value), grad: cut(arrays.grad), m: cut(arrays.m), v: cut(arrays.v) };
}

const scalarTensor = (value: number): FloatTensor => floats(Float32Array.of(value), []);
