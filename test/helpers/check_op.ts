/**
 * Checks an op in one line: its value against a plain float64 reference, its gradient against central finite
 * differences, and that NaN passes. Sizes are fed both as symbols and as numbers, since they decide the ONNX.
 */
import { expect } from 'vitest';
import { narrow } from '../../src/checkpoint/dtypes.ts';
import { gradients } from '../../src/graph/autodiff.ts';
import type { DType } from '../../src/graph/dtype.ts';
import type { Shape } from '../../src/graph/shape.ts';
import { input, type Value } from '../../src/graph/value.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { bytes, floats, type HostTensor, halves, ints, sizeOf, type Tensor } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';

export interface Argument {
  readonly dims: readonly number[];
  /** Symbolic spelling of dims; default: dims. */
  readonly shape?: Shape;
  /** Values; default: uniform in [low, high). */
  readonly data?: readonly number[];
  readonly low?: number;
  readonly high?: number;
  /** float16: the values as numbers, which must be exact in it. uint8: given, and without gradient. */
  readonly dtype?: 'float32' | 'int32' | 'float16' | 'uint8';
  /** No gradient is asked for. */
  readonly constant?: boolean;
}

export type Reference = (...args: (readonly number[])[]) => readonly number[];

export interface OpCase {
  /** Default: the arguments' shapes. */
  readonly name?: string;
  readonly args: readonly Argument[];
  readonly build: (...args: Value[]) => Value;
  /** Value of the op in plain float64; omit where finite differences of the graph itself must do. */
  readonly reference?: Reference;
  /** Largest |error| allowed of the value, and of the gradient relative to its largest entry. */
  readonly tolerance?: { readonly value?: number; readonly gradient?: number };
  /** What the op says where it has no gradient. */
  readonly notDifferentiable?: RegExp;
  /** `build` spells sizes by name itself, so that the case cannot be repeated with numbers. */
  readonly namesOnly?: true;
  /** false where a NaN need not come out where the reference says. */
  readonly nan?: false;
}

export interface Errors {
  readonly value: number;
  readonly gradient: number;
}

/** Runs the op and compares; returns the largest errors, for printing. */
export async function checkOp(opCase: OpCase): Promise<Errors> {
  const spelled = await checkSpelling(opCase);
  if (opCase.namesOnly || opCase.args.every(({ shape }) => shape === undefined)) return spelled;
  const plain = await checkSpelling({ ...opCase, args: opCase.args.map(({ shape, ...rest }) => rest) });
  return {
    value: Math.max(spelled.value, plain.value),
    gradient: Math.max(spelled.gradient, plain.gradient),
  };
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length, 'number of elements').toBe(b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (Number.isNaN(difference)) return Number.NaN;
    largest = Math.max(largest, difference);
  }
  return largest;
}

// --- internal ---

async function checkSpelling(opCase: OpCase): Promise<Errors> {
  const { args, build, reference, tolerance = {}, notDifferentiable } = opCase;
  const random = createRandom(17);
  const data = args.map(({ dims, data: given, low = -2, high = 2 }) =>
    given === undefined
      ? Array.from({ length: sizeOf(dims) }, () => Math.fround(low + (high - low) * random.next()))
      : given.map(Math.fround),
  );
  const values = args.map(({ dims, shape, dtype }, i) => input(`x${i}`, shape ?? dims, dtype));
  const y = build(...values);
  const names = Object.fromEntries(values.map((value, i) => [`x${i}`, value]));
  const forward = await cpu.compile({ name: 'forward', inputs: names, outputs: { y } });
  const feeds = (columns: Columns): Record<string, Tensor> =>
    Object.fromEntries(args.map(({ dims, dtype }, i) => [`x${i}`, tensor(dims, columns[i]!, dtype)]));
  const evaluate = async (columns: Columns): Promise<HostTensor> => (await forward.run(feeds(columns), {}, ['y'])).y;

  const out = await evaluate(data);
  if (y.shape.every((dim) => typeof dim === 'number')) expect(out.dims, 'sizes of the value').toEqual(y.shape);
  expect(out.dims.length, 'rank of the value').toBe(y.shape.length);
  let valueError = 0;
  if (reference !== undefined) {
    valueError = largestDifference(out.data, reference(...data));
    expect(valueError, 'largest error of the value').toBeLessThan(tolerance.value ?? 1e-5);
    if (opCase.nan !== false) await checkNaN(args, data, evaluate, reference);
  }

  const wanted = args.flatMap(({ constant, dtype }, i) =>
    constant || dtype === 'int32' || dtype === 'uint8' ? [] : [i],
  );
  const dy = input('dy', y.shape);
  const pull = () =>
    gradients(
      [{ value: y, cotangent: dy }],
      wanted.map((i) => values[i]!),
    );
  if (notDifferentiable !== undefined) {
    expect(pull).toThrow(notDifferentiable);
    await forward.release();
    return { value: valueError, gradient: 0 };
  }
  if (wanted.length === 0) {
    await forward.release();
    return { value: valueError, gradient: 0 };
  }
  const outputs = Object.fromEntries(pull().flatMap((value, k) => (value === null ? [] : [[`g${wanted[k]}`, value]])));
  const backward = await cpu.compile({ name: 'backward', inputs: { ...names, dy }, outputs });
  const cotangent = Array.from({ length: out.data.length }, () => Math.fround(random.normal()));
  const got = await backward.run({ ...feeds(data), dy: tensor(out.dims, cotangent) });

  // The reference is exact enough for a tiny step; the graph itself rounds to float32.
  const step = reference === undefined ? 1e-2 : 1e-5;
  const project = async (columns: Columns): Promise<number> =>
    dot(reference === undefined ? (await evaluate(columns)).data : reference(...columns), cotangent);
  let gradientError = 0;
  for (const i of wanted) {
    const analytic = got[`g${i}`]?.data ?? new Float32Array(data[i]!.length);
    const numeric: number[] = [];
    for (let j = 0; j < data[i]!.length; j++) {
      const moved = (delta: number): Columns =>
        data.map((column, k) => (k === i ? column.with(j, column[j]! + delta) : column));
      numeric.push(((await project(moved(step))) - (await project(moved(-step)))) / (2 * step));
    }
    const size = Math.max(1e-3, ...numeric.map(Math.abs));
    const error = largestDifference(analytic, numeric) / size;
    const allowed = tolerance.gradient ?? (reference === undefined ? 2e-3 : 2e-5);
    expect(error, `largest error of the gradient of argument ${i}, relative`).toBeLessThan(allowed);
    gradientError = Math.max(gradientError, error);
  }
  await Promise.all([forward.release(), backward.release()]);
  return { value: valueError, gradient: gradientError };
}

type Columns = readonly (readonly number[])[];

/** One NaN in each argument in turn: the result must be NaN where the reference is, and nowhere else. */
async function checkNaN(
  args: readonly Argument[],
  data: Columns,
  evaluate: (columns: Columns) => Promise<HostTensor>,
  reference: Reference,
): Promise<void> {
  for (const [i, { dtype }] of args.entries()) {
    if (dtype === 'int32' || dtype === 'uint8') continue;
    const spoiled = data.map((column, k) => (k === i ? column.with(0, Number.NaN) : column));
    const got = Array.from((await evaluate(spoiled)).data, Number.isNaN);
    expect(got, `NaN in argument ${i}`).toEqual(Array.from(reference(...spoiled), Number.isNaN));
  }
}

function tensor(dims: readonly number[], data: readonly number[], dtype: DType = 'float32'): Tensor {
  if (dtype === 'int32') return ints(Int32Array.from(data), dims);
  if (dtype === 'uint8') return bytes(Uint8Array.from(data), dims);
  const values = Float32Array.from(data);
  if (dtype !== 'float16') return floats(values, dims);
  const words = new Uint16Array(data.length);
  narrow('F16', values, words);
  return halves(words, dims);
}

function dot(a: ArrayLike<number>, b: readonly number[]): number {
  let total = 0;
  for (let i = 0; i < b.length; i++) total += a[i]! * b[i]!;
  return total;
}
