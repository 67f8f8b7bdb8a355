/**
 * Elementwise arithmetic, comparisons and selection: value, ONNX form and gradient of each on a line or two.
 */

import type { DType } from '../dtype.ts';
import { broadcastShapes } from '../shape.ts';
import { asValue, none, type Value } from '../value.ts';
import { binary, emitCast, makeNode, unary } from './define.ts';

/** Factor of `quickGelu`. */
const QUICK_GELU = 1.702;

export const add = binary('add', 'Add', { a: ({ dy }) => dy, b: ({ dy }) => dy });
export const sub = binary('sub', 'Sub', { a: ({ dy }) => dy, b: ({ dy }) => neg(dy) });
export const mul = binary('mul', 'Mul', { a: ({ dy, b }) => mul(dy, b), b: ({ dy, a }) => mul(dy, a) });
export const div = binary('div', 'Div', {
  a: ({ dy, b }) => div(dy, b),
  b: ({ dy, b, y }) => neg(div(mul(dy, y), b)),
});
/** The larger of two; where they are equal, the gradient goes to the first. */
export const max = binary('max', 'Max', {
  a: ({ dy, a, b }) => where(lessOrEqual(b, a), dy, 0),
  b: ({ dy, a, b }) => where(lessOrEqual(b, a), 0, dy),
});
/** The smaller of two; where they are equal, the gradient goes to the first. */
export const min = binary('min', 'Min', {
  a: ({ dy, a, b }) => where(lessOrEqual(a, b), dy, 0),
  b: ({ dy, a, b }) => where(lessOrEqual(a, b), 0, dy),
});

export const neg = unary('neg', 'Neg', ({ dy }) => neg(dy));
export const exp = unary('exp', 'Exp', ({ dy, y }) => mul(dy, y));
export const sqrt = unary('sqrt', 'Sqrt', ({ dy, y }) => div(dy, mul(2, y)));
export const square = unary(
  'square',
  (e, x) => e.node('Mul', [x, x]),
  ({ dy, x }) => mul(dy, mul(2, x)),
);
export const tanh = unary('tanh', 'Tanh', ({ dy, y }) => mul(dy, sub(1, square(y))));
/** 1 / (1 + e^-x) */
export const sigmoid = unary('sigmoid', 'Sigmoid', ({ dy, y }) => mul(dy, mul(y, sub(1, y))));
export const erf = unary('erf', 'Erf', ({ dy, x }) => mul(dy, mul(2 / Math.sqrt(Math.PI), exp(neg(square(x))))));
/**
 * x * sigmoid(x). In a forward graph ONNX Runtime fuses the two nodes into one kernel (QuickGelu); in a backward graph the
 * gradient shares the sigmoid.
 */
export const silu = unary(
  'silu',
  (e, x) => e.node('Mul', [x, e.node('Sigmoid', [x])]),
  ({ dy, x, y }) => {
    const s = sigmoid(x);
    return mul(dy, add(s, mul(y, sub(1, s)))); // s + x s (1 - s)
  },
);
/** x * sigmoid(1.702 x), an approximation of gelu (Hendrycks & Gimpel 2016). */
export const quickGelu = unary(
  'quickGelu',
  (e, x) => e.node('QuickGelu', [x], { alpha: { float: QUICK_GELU } }, 'com.microsoft'),
  ({ dy, x, y }) => {
    const s = sigmoid(mul(QUICK_GELU, x));
    return mul(dy, add(s, mul(mul(QUICK_GELU, y), sub(1, s)))); // s + 1.702 x s (1 - s)
  },
);
/** x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, the other approximation of gelu (torch: approximate='tanh'). */
export const geluTanh = (x: Value): Value => {
  const inner = mul(Math.sqrt(2 / Math.PI), add(x, mul(0.044715, mul(x, square(x)))));
  return mul(mul(0.5, x), add(1, tanh(inner)));
};
/** x Φ(x), the exact form (torch.nn.GELU's default). */
export const gelu = unary(
  'gelu',
  (e, x) => e.node('Gelu', [x], {}, 'com.microsoft'),
  ({ dy, x }) => {
    const cdf = mul(0.5, add(1, erf(mul(x, Math.SQRT1_2))));
    const density = mul(1 / Math.sqrt(2 * Math.PI), exp(mul(-0.5, square(x))));
    return mul(dy, add(cdf, mul(x, density)));
  },
);

/** a <= b, element by element; float32 or int32. */
export const lessOrEqual = comparison('lessOrEqual', 'LessOrEqual');

/** condition ? a : b, broadcasting all three; a and b float32 or both int32. */
export function where(condition: Value, yes: Value | number, no: Value | number): Value {
  const [a, b] = [asValue(yes), asValue(no)];
  if (condition.dtype !== 'bool') throw new Error(`where: expected a bool condition, got ${condition.dtype}`);
  if (a.dtype !== b.dtype) throw new Error(`where: element types differ, ${a.dtype} and ${b.dtype}`);
  const shape = broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape, 'where'), 'where');
  return makeNode({
    op: 'where',
    inputs: [condition, a, b],
    shape,
    dtype: a.dtype,
    emit: (emitter, names) => emitter.node('Where', names),
    vjp: (dy) => [null, () => where(condition, dy, 0), () => where(condition, 0, dy)],
  });
}

/** Converts to float32; no gradient flows to integers and booleans. */
export function toFloat(x: Value): Value {
  if (x.dtype === 'float32') return x;
  return makeNode({
    op: 'toFloat',
    inputs: [x],
    shape: x.shape,
    emit: (emitter, [name]) => emitCast(emitter, name!, 'float32'),
    vjp: none('its input is not a real number'),
  });
}

/** Converts whole numbers stored as float32 to int32, for use as indices. */
export function toInt(x: Value): Value {
  return makeNode({
    op: 'toInt',
    inputs: [x],
    shape: x.shape,
    dtype: 'int32',
    emit: (emitter, [name]) => emitCast(emitter, name!, 'int32'),
    vjp: none('an index is discrete'),
  });
}

// --- internal ---

function comparison(op: string, emit: string): (a: Value, b: Value) => Value {
  return (a, b) => {
    if (a.dtype !== b.dtype) throw new Error(`${op}: element types differ, ${a.dtype} and ${b.dtype}`);
    const dtype: DType = 'bool';
    const shape = broadcastShapes(a.shape, b.shape, op);
    const node = { op, inputs: [a, b], shape, dtype, vjp: none('a comparison is a step function') };
    return makeNode({ ...node, emit: (emitter, names) => emitter.node(emit, names) });
  };
}
