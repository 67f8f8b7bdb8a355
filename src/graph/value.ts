/**
 * A symbolic tensor: the node that makes it, its element type and its shape.
 * Knows neither ONNX Runtime nor models; what a node does stands with its op.
 */
import type { DType } from './dtype.ts';
import type { Emitter } from './emitter.ts';
import { canonicalShape, type Shape } from './shape.ts';

export interface Value {
  /** Name of the op, for messages and printing. */
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly dtype: DType;
  readonly shape: Shape;
  readonly rule: Rule;
}

/** What a node can do: write itself as ONNX, and pull a cotangent back to its inputs. */
export interface Rule {
  /** Adds the ONNX nodes of this value and returns the name of the result. */
  readonly emit: (emitter: Emitter, inputs: readonly string[]) => string;
  readonly vjp: VjpRule | NotDifferentiable;
}

/**
 * Vector-Jacobian product: per input, a thunk for its cotangent (so that one nobody needs is never built), or null
 * where nothing flows. A cotangent may still have the broadcast shape of the result; the reverse walk reduces it.
 */
export type VjpRule = (dy: Value, y: Value) => readonly ((() => Value) | null)[];

/** Says that an op has no gradient on purpose, and why. */
export interface NotDifferentiable {
  readonly none: string;
}

export const none = (why: string): NotDifferentiable => ({ none: why });

/** A graph input (or a parameter): fed by name at run time. */
export function input(name: string, shape: Shape, dtype: DType = 'float32'): Value {
  const emit = (): string => {
    throw new Error(`internal: input '${name}' is used by a graph that does not declare it`);
  };
  return { op: `input ${name}`, inputs: [], dtype, shape: canonicalShape(shape), rule: { emit, vjp: () => [] } };
}

/** A scalar constant. */
export function scalar(value: number, dtype: DType = 'float32'): Value {
  const emit = (emitter: Emitter): string => emitter.constant(dtype, [], [value]);
  return { op: `scalar ${value}`, inputs: [], dtype, shape: [], rule: { emit, vjp: () => [] } };
}

/** A number where a tensor is expected means that scalar. */
export function asValue(x: Value | number): Value {
  return typeof x === 'number' ? scalar(x) : x;
}
