/**
 * How ops are defined: result, ONNX form and gradient of a family side by side.
 * Knows the pattern of an op, but no particular op.
 */

import { type DType, ONNX_DATA_TYPE } from '../dtype.ts';
import type { Emitter } from '../emitter.ts';
import { broadcastShapes, type Shape } from '../shape.ts';
import { asValue, type NotDifferentiable, type Value, type VjpRule } from '../value.ts';

export interface OpNode {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly shape: Shape;
  readonly dtype?: DType;
  readonly emit: (emitter: Emitter, inputs: readonly string[]) => string;
  /** Required: an op without a gradient rule does not compile unless it says `none('why')`. */
  readonly vjp: VjpRule | NotDifferentiable;
}

export function makeNode({ op, inputs, shape, dtype = 'float32', emit, vjp }: OpNode): Value {
  return { op, inputs, shape, dtype, rule: { emit, vjp } };
}

/** What a gradient rule of a unary op reads: the cotangent dy, the input and the result. */
export interface UnaryContext {
  readonly dy: Value;
  readonly x: Value;
  readonly y: Value;
}

/**
 * An op y = f(x), element by element.
 *
 * @param emit name of the ONNX op, or a function that emits its nodes
 */
export function unary(
  op: string,
  emit: string | ((emitter: Emitter, x: string) => string),
  vjp: ((context: UnaryContext) => Value) | NotDifferentiable,
): (x: Value) => Value {
  return (x) => {
    requireFloat(op, x);
    return makeNode({
      op,
      inputs: [x],
      shape: x.shape,
      emit: (emitter, [name]) => (typeof emit === 'string' ? emitter.node(emit, [name!]) : emit(emitter, name!)),
      vjp: typeof vjp === 'function' ? (dy, y) => [() => vjp({ dy, x, y })] : vjp,
    });
  };
}

export interface BinaryContext {
  readonly dy: Value;
  readonly a: Value;
  readonly b: Value;
  readonly y: Value;
}

/** An op y = f(a, b), element by element, broadcasting as numpy does. Plain numbers stand for scalars. */
export function binary(
  op: string,
  emit: string,
  vjp: { a: (context: BinaryContext) => Value; b: (context: BinaryContext) => Value },
): (a: Value | number, b: Value | number) => Value {
  return (left, right) => {
    const [a, b] = [asValue(left), asValue(right)];
    requireFloat(op, a, b);
    return makeNode({
      op,
      inputs: [a, b],
      shape: broadcastShapes(a.shape, b.shape, op),
      emit: (emitter, names) => emitter.node(emit, names),
      vjp: (dy, y) => [() => vjp.a({ dy, a, b, y }), () => vjp.b({ dy, a, b, y })],
    });
  };
}

/** Emits a conversion to an element type and returns the name of the result. */
export function emitCast(emitter: Emitter, name: string, to: DType | 'float64'): string {
  return emitter.node('Cast', [name], { to: ONNX_DATA_TYPE[to] });
}

export function requireFloat(op: string, ...values: readonly Value[]): void {
  for (const value of values) {
    if (value.dtype !== 'float32') throw new Error(`${op}: expected float32, got ${value.dtype} (${value.op})`);
  }
}
