/**
 * A symbolic tensor: the node that computes it, its element type and its shape.
 * Knows neither ONNX Runtime nor models. The meaning of a node is defined with its op, in ops/.
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

/** The two rules of a node: how it is written as ONNX, and how it pulls a cotangent back to its inputs. */
export interface Rule {
  /** Adds the ONNX nodes of this value and returns the name of the result. */
  readonly emit: (emitter: Emitter, inputs: readonly string[]) => string;
  readonly vjp: VjpRule | NotDifferentiable;
}

/**
 * Vector-Jacobian product: per input a thunk for its cotangent (so that an unneeded one is never built), or null if the
 * input has no gradient. A cotangent may have the broadcast shape of the result; the reverse walk reduces it.
 */
export type VjpRule = (dy: Value, y: Value) => readonly ((() => Value) | null)[];

/** Declares that an op has no gradient, and why. */
export interface NotDifferentiable {
  readonly none: string;
}

export const none = (why: string): NotDifferentiable => ({ none: why });

/** A graph input or parameter, fed by name at run time. */
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

/** Turns a number into a scalar constant. */
export function asValue(x: Value | number): Value {
  return typeof x === 'number' ? scalar(x) : x;
}
