/**
 * Checks an op in one line: its value against a plain reference, its gradient against central finite differences.
 * Sizes are fed both as numbers and as symbols, since shapes decide what the ONNX looks like.
 */
import { expect } from 'vitest';
import { gradients } from '../../src/graph/autodiff.ts';
import type { Shape } from '../../src/graph/shape.ts';
import { type DType, input, type Value } from '../../src/graph/value.ts';
import { compile } from '../../src/runtime/session.ts';
import { floats, ints, sizeOf, type Tensor } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';

export interface Argument {
  readonly dims: readonly number[];
  /** Symbolic spelling of dims; default: dims. */
  readonly shape?: Shape;
  /** Values; default: uniform in [low, high). */
  readonly data?: readonly number[];
  readonly low?: number;
  readonly high?: number;
  readonly dtype?: DType;
  /** No gradient is asked for. */
  readonly constant?: boolean;
}

export interface OpCase {
  readonly args: readonly Argument[];
  readonly build: (...args: Value[]) => Value;
  /** Value of the op in plain float64; omit where finite differences alone must do. */
  readonly reference?: (...args: (readonly number[])[]) => readonly number[];
  /** Largest |error| allowed of the value, and of the gradient relative to its largest entry. */
  readonly tolerance?: { readonly value?: number; readonly gradient?: number };
  readonly step?: number;
}

/** Runs the op and compares; returns the largest errors, for printing. */
export async function checkOp({
  args,
  build,
  reference,
  tolerance = {},
  step = 1e-2,
}: OpCase): Promise<{ value: number; gradient: number }> {
  const random = createRandom(17);
  const data = args.map(({ dims, data: given, low = -2, high = 2 }) =>
    given === undefined ? Array.from({ length: sizeOf(dims) }, () => low + (high - low) * random.next()) : [...given],
  );
  const values = args.map(({ dims, shape, dtype }, i) => input(`x${i}`, shape ?? dims, dtype));
  const y = build(...values);
  const names = Object.fromEntries(values.map((value, i) => [`x${i}`, value]));
  const forward = await compile({ name: 'forward', inputs: names, outputs: { y } });
  const feeds = (columns: readonly (readonly number[])[]): Record<string, Tensor> =>
    Object.fromEntries(args.map(({ dims, dtype }, i) => [`x${i}`, tensor(dims, columns[i]!, dtype)]));
  const evaluate = async (
    columns: readonly (readonly number[])[],
  ): Promise<{ data: ArrayLike<number>; dims: readonly number[] }> => (await forward.run(feeds(columns), {}, ['y'])).y!;

  const out = await evaluate(data);
  let valueError = 0;
  if (reference !== undefined) {
    valueError = largestDifference(out.data, reference(...data));
    expect(valueError, 'largest error of the value').toBeLessThan(tolerance.value ?? 1e-5);
  }

  const wanted = args.flatMap(({ constant, dtype }, i) => (constant || (dtype ?? 'float32') !== 'float32' ? [] : [i]));
  if (wanted.length === 0) return { value: valueError, gradient: 0 };
  const dy = input('dy', y.shape);
  const pulled = gradients(
    [{ value: y, cotangent: dy }],
    wanted.map((i) => values[i]!),
  );
  const outputs = Object.fromEntries(pulled.flatMap((value, k) => (value === null ? [] : [[`g${wanted[k]}`, value]])));
  const backward = await compile({ name: 'backward', inputs: { ...names, dy }, outputs });
  const cotangent = Array.from({ length: out.data.length }, () => random.normal());
  const got = await backward.run({ ...feeds(data), dy: tensor(out.dims, cotangent) });

  let gradientError = 0;
  for (const i of wanted) {
    const analytic = (got as Record<string, Tensor>)[`g${i}`]?.data ?? new Float32Array(data[i]!.length);
    const numeric: number[] = [];
    for (let j = 0; j < data[i]!.length; j++) {
      const at = async (delta: number): Promise<number> => {
        const moved = data.map((column, k) => (k === i ? column.with(j, column[j]! + delta) : column));
        return dot((await evaluate(moved)).data, cotangent);
      };
      numeric.push(((await at(step)) - (await at(-step))) / (2 * step));
    }
    const size = Math.max(1e-3, ...numeric.map(Math.abs));
    gradientError = Math.max(gradientError, largestDifference(analytic, numeric) / size);
  }
  expect(gradientError, 'largest error of the gradient, relative').toBeLessThan(tolerance.gradient ?? 2e-3);
  await Promise.all([forward.release(), backward.release()]);
  return { value: valueError, gradient: gradientError };
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

const tensor = (dims: readonly number[], data: readonly number[], dtype: DType = 'float32'): Tensor =>
  dtype === 'int32' ? ints(Int32Array.from(data), dims) : floats(Float32Array.from(data), dims);

function dot(a: ArrayLike<number>, b: readonly number[]): number {
  let total = 0;
  for (let i = 0; i < b.length; i++) total += a[i]! * b[i]!;
  return total;
}
