import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import { type AdamW, createAdamW } from '../../src/optim/adamw.ts';
import type { AdamWParameter } from '../../src/optim/adamw_rates.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { ROUNDING } from '../helpers/rounding.ts';

const options = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
let adamw: AdamW;
beforeAll(async () => {
  adamw = await createAdamW(options);
});
afterAll(() => adamw.release());

type State = Record<'value' | 'm' | 'v', Float64Array>;

/** One parameter's update in float64, term by term as torch.optim.AdamW writes it (single tensor, not capturable). */
function reference(
  state: State,
  grad: ArrayLike<number>,
  lr: number,
  decay: number,
  step: number,
  scale: number,
): void {
  const { beta1, beta2, epsilon } = options;
  for (let i = 0; i < grad.length; i++) {
    const g = grad[i]! * scale;
    state.value[i]! *= 1 - lr * decay;
    state.m[i]! += (1 - beta1) * (g - state.m[i]!);
    state.v[i] = beta2 * state.v[i]! + (1 - beta2) * g * g;
    const stepSize = lr / (1 - beta1 ** step);
    const denominator = Math.sqrt(state.v[i]!) / Math.sqrt(1 - beta2 ** step) + epsilon;
    state.value[i]! -= (stepSize * state.m[i]!) / denominator;
  }
}

const stateOf = (value: Float32Array): State => ({
  value: Float64Array.from(value),
  m: new Float64Array(value.length),
  v: new Float64Array(value.length),
});

const ARRAYS = ['value', 'grad', 'm', 'v'] as const;
type Arrays = Record<(typeof ARRAYS)[number], Float32Array>;

/** A parameter as arrays, which `update` takes to the device and back. */
interface Parameter extends Arrays {
  readonly learningRate: number;
  readonly weightDecay: number;
}

function parameter(value: Float32Array, grad: Float32Array, learningRate = 1e-3, weightDecay = 0.1): Parameter {
  const [m, v] = [new Float32Array(value.length), new Float32Array(value.length)];
  return { value, grad, m, v, learningRate, weightDecay };
}

/** Updates parameters whose arrays are copied to the device and back, where it does not share this process's memory. */
async function update(parameters: readonly Parameter[], step: { step: number; gradScale: number }): Promise<void> {
  const there: AdamWParameter[] = [];
  for (const { value, grad, m, v, ...rates } of parameters) {
    const up = (array: Float32Array) => cpu.upload(floats(array, [array.length]));
    const tensors = { value: await up(value), grad: await up(grad), m: await up(m), v: await up(v) };
    there.push({ ...rates, ...tensors } as AdamWParameter);
  }
  await adamw.update(there, step);
  for (const [i, tensors] of there.entries()) {
    for (const name of ARRAYS) {
      const { data } = await cpu.download(tensors[name]);
      if (data !== parameters[i]![name]) parameters[i]![name].set(data);
      cpu.release(tensors[name]);
    }
  }
}

/**
 * How far off a value, m or v may be after one update, relative to the largest of the array. m and v take four roundings
 * (two products, the product with a scaled gradient, the sum), as does each rounded constant of the six; a value takes those
 * of its own product and difference, and of the step, where they are no larger since a step is smaller than the largest value.
 */
const UPDATE_ERROR = 16 * ROUNDING;

/** Largest difference relative to the largest entry. */
function relativeError(got: Float32Array, expected: Float64Array): number {
  const size = expected.reduce((largest, x) => Math.max(largest, Math.abs(x)), 1e-30);
  return largestDifference(got, expected) / size;
}

// Both sides are one IEEE 754 operation after the other, each of them correctly rounded; no kernel fuses two nodes.
test('short arrays are updated as long ones are, to the last bit', async () => {
  const random = createRandom(9);
  const [short, long] = [2 ** 13 - 1, 2 ** 14];
  const array = (scale: number): Float32Array => Float32Array.from({ length: short }, () => random.normal() * scale);
  const within = (part: Float32Array): Float32Array => {
    const whole = new Float32Array(long);
    whole.set(part);
    return whole;
  };
  const alone = parameter(array(1), new Float32Array(short));
  const among = { ...parameter(within(alone.value), new Float32Array(long)) };
  for (let step = 1; step <= 5; step++) {
    const grad = array(10 ** (2 - step));
    alone.grad.set(grad);
    among.grad.set(grad);
    await update([alone, among], { step, gradScale: 0.37 * step });
    for (const name of ['value', 'm', 'v', 'grad'] as const)
      expect(among[name].subarray(0, short), `${name} at step ${step}`).toEqual(alone[name]);
  }
  expect(alone.m.some((x) => x !== 0)).toBe(true);
});

describe('against torch’s formula in float64', () => {
  const chunk = 2 ** 18;
  test('six steps over arrays of every length, with rates, decays and scales of their own', async ({ annotate }) => {
    const random = createRandom(3);
    const array = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());
    const lengths = [1, 0, 7, 1000, chunk - 1, chunk, chunk + 3, 0, 2 * chunk + 5];
    const parameters = lengths.map((n, i) => parameter(array(n), array(n), 1e-3 * (i + 1), i % 2 === 0 ? 0.1 : 0));
    const states = parameters.map(({ value }) => stateOf(value));
    const worst = { value: 0, m: 0, v: 0 };
    for (let step = 1; step <= 6; step++) {
      const gradScale = 1 / step;
      for (const { grad } of parameters) for (let i = 0; i < grad.length; i++) grad[i] = random.normal() * 10 ** -step;
      const gradients = parameters.map(({ grad }) => grad.slice());
      await update(parameters, { step, gradScale });
      parameters.forEach(({ learningRate, weightDecay, grad: _, ...arrays }, i) => {
        reference(states[i]!, gradients[i]!, learningRate, weightDecay, step, gradScale);
        for (const name of ['value', 'm', 'v'] as const) {
          worst[name] = Math.max(worst[name], relativeError(arrays[name], states[i]![name]));
        }
      });
    }
    await annotate(`largest relative errors: ${JSON.stringify(worst)}`);
    expect(Math.max(worst.value, worst.m, worst.v)).toBeLessThan(6 * UPDATE_ERROR);
  });

  test.each(goldenCheckpoints())('$name: two steps on real weights and gradients', async (golden) => {
    const checkpoint = openCheckpoint(golden.model);
    const file = openSafetensors(join(golden.golden, 'gradients.safetensors'));
    const names = [...file.entries.keys()];
    const gradients = names.map((name) => file.read(name));
    const parameters = names.map((name, i) => parameter(checkpoint.read(name), gradients[i]!.slice()));
    const states = parameters.map(({ value }) => stateOf(value));
    // Relative: some weights are above 8, where neighbouring float32 numbers are 1e-6 apart.
    let worst = 0;
    for (const step of [1, 2]) {
      const gradScale = 0.6 / step;
      for (const [i, { grad }] of parameters.entries()) grad.set(gradients[i]!);
      await update(parameters, { step, gradScale });
      parameters.forEach(({ value }, i) => {
        reference(states[i]!, gradients[i]!, 1e-3, 0.1, step, gradScale);
        worst = Math.max(worst, relativeError(value, states[i]!.value));
      });
    }
    console.log(`${golden.name}: largest relative error of ${names.length} tensors after two steps: ${worst}`);
    expect(worst).toBeLessThan(2 * UPDATE_ERROR);
    checkpoint.close();
    file.close();
  });

  test('gradients as small as epsilon: it is added to the corrected root, not beside it', async () => {
    const value = Float32Array.of(1, 1, 1, 1);
    const grad = [1e-7, 1e-8, 1e-9, -1e-8];
    const p = parameter(value, Float32Array.from(grad), 0.5, 0);
    const state = stateOf(value);
    await update([p], { step: 1, gradScale: 1 });
    reference(state, grad, 0.5, 0, 1, 1);
    expect(largestDifference(p.value, state.value)).toBeLessThan(UPDATE_ERROR);
    expect(state.value[1]).toBeCloseTo(0.75, 12);
  });
});

describe('what it touches', () => {
  test('views in bigger buffers: not a neighbour', async () => {
    const whole = {
      value: new Float32Array(6).fill(1),
      m: new Float32Array(6).fill(1),
      v: new Float32Array(6).fill(1),
    };
    const grad = new Float32Array(6).fill(1);
    const cut = (array: Float32Array): Float32Array => array.subarray(2, 4);
    const arrays = { value: cut(whole.value), grad: cut(grad), m: cut(whole.m), v: cut(whole.v) };
    await update([{ ...arrays, learningRate: 0.1, weightDecay: 0 }], { step: 1, gradScale: 0.5 });
    for (const array of Object.values(whole)) {
      expect([...array].map((x) => x === 1)).toEqual([true, true, false, false, true, true]);
    }
    expect([...grad]).toEqual([1, 1, 0, 0, 1, 1]);
  });

  test('a gradient of 0 only decays the value', async () => {
    const p = parameter(Float32Array.of(2, -4), new Float32Array(2), 0.5, 0.5);
    await update([p], { step: 1, gradScale: 1 });
    expect([p.value, p.m, p.v].map((array) => [...array])).toEqual([
      [1.5, -3],
      [0, 0],
      [0, 0],
    ]);
  });

  test('a learning rate of 0 leaves the value, and moves the moments', async () => {
    const p = parameter(Float32Array.of(2), Float32Array.of(3), 0, 0.5);
    await update([p], { step: 1, gradScale: 1 });
    expect(p.value[0]).toBe(2);
    expect(p.m[0]).toBeCloseTo(0.3, 6);
    expect(p.v[0]).toBeCloseTo(0.45, 6);
  });

  test('nothing, for no parameters', () => update([], { step: 1, gradScale: 1 }));

  test('a scale is as good as scaled gradients', async () => {
    const grads = [Float32Array.of(3, -2), Float32Array.of(0.75, -0.5)];
    const [scaled, plain] = grads.map((grad) => parameter(Float32Array.of(1, 1), grad));
    await update([scaled!], { step: 1, gradScale: 0.25 });
    await update([plain!], { step: 1, gradScale: 1 });
    // A scale of a power of two changes no rounding.
    expect(scaled!.value).toEqual(plain!.value);
  });
});

describe('refuses', () => {
  test('arrays of different lengths', async () => {
    const p = { ...parameter(new Float32Array(3), new Float32Array(3)), m: new Float32Array(2) };
    await expect(update([p], { step: 1, gradScale: 1 })).rejects.toThrow(
      'internal: AdamW tensors differ in length: value 3, grad 3, m 2, v 3',
    );
  });

  test.each([0, -1, 1.5, Number.NaN])('step %d', async (step) => {
    await expect(update([], { step, gradScale: 1 })).rejects.toThrow(
      `internal: AdamW step ${step}, expected 1, 2, ...`,
    );
  });
});
