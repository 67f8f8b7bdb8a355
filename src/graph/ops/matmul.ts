/**
 * Matrix products: batched `matmul`, and `gemm` for [rows, features] against weights as checkpoints store them.
 * Transposes are flags of the kernels and copy nothing, so every gradient is again one product.
 */
import type { Emitter } from '../emitter.ts';
import { broadcastShapes, type Shape, sameShape, showShape } from '../shape.ts';
import type { Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';
import { add } from './elementwise.ts';

export interface MatmulOptions {
  /** Transpose the last two axes of a (of b). */
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** Factor of the product. */
  readonly alpha?: number;
}

/** alpha · op(a) op(b) over the last two axes; leading axes broadcast. */
export function matmul(a: Value, b: Value, { transA = false, transB = false, alpha = 1 }: MatmulOptions = {}): Value {
  requireFloat('matmul', a, b);
  const [m, k] = lastTwo(a, transA);
  const [inner, n] = lastTwo(b, transB);
  if (k !== inner) {
    throw new Error(
      `matmul: inner sizes differ, ${showShape(a.shape)}${transA ? 'ᵀ' : ''} x ${showShape(b.shape)}${transB ? 'ᵀ' : ''}`,
    );
  }
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul');
  return makeNode({
    op: 'matmul',
    inputs: [a, b],
    shape: [...batch, m!, n!],
    emit: (emitter, names) => {
      const options = { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } };
      if (emitter.kernels.fusedMatMul) return emitter.node('FusedMatMul', names, options, 'com.microsoft');
      if (a.shape.length === 2 && b.shape.length === 2) return emitter.node('Gemm', names, options);
      const left = transA ? emitTransposed(emitter, names[0]!, a) : names[0]!;
      const right = transB ? emitTransposed(emitter, names[1]!, b) : names[1]!;
      const scaled = alpha === 1 ? left : emitter.node('Mul', [left, emitter.constant('float32', [], [alpha])]);
      return emitter.node('MatMul', [scaled, right]);
    },
    vjp: (dy) => [
      () =>
        transA
          ? matmul(b, dy, { transA: transB, transB: true, alpha }) // (dy op(b)ᵀ)ᵀ
          : matmul(dy, b, { transB: !transB, alpha }),
      () =>
        transB
          ? matmul(dy, a, { transA: true, transB: transA, alpha }) // (op(a)ᵀ dy)ᵀ
          : matmul(a, dy, { transA: !transA, alpha }),
    ],
  });
}

export interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** Added to the product: a bias row [n], or an accumulator [m, n]. */
  readonly plus?: Value;
}

/** op(a) op(b) + plus, for matrices. `gemm(x, w, { transB: true, plus: b })` is torch's Linear: w is [out, in]. */
export function gemm(a: Value, b: Value, options: GemmOptions = {}): Value {
  const { transA = false, transB = false, plus } = options;
  requireFloat('gemm', a, b, ...(plus === undefined ? [] : [plus]));
  const [m, k] = lastTwo(a, transA);
  const [inner, n] = lastTwo(b, transB);
  if (a.shape.length !== 2 || b.shape.length !== 2 || k !== inner) {
    throw new Error(
      `gemm: expected matching matrices, got ${showShape(a.shape)}${transA ? 'ᵀ' : ''} x ${showShape(b.shape)}${transB ? 'ᵀ' : ''}`,
    );
  }
  const shape: Shape = [m!, n!];
  if (plus !== undefined && !sameShape(broadcastShapes(plus.shape, shape, 'gemm'), shape)) {
    throw new Error(`gemm: cannot add ${showShape(plus.shape)} to a product of ${showShape(shape)}`);
  }
  return makeNode({
    op: 'gemm',
    inputs: plus === undefined ? [a, b] : [a, b, plus],
    shape,
    emit: (emitter, names) => emitter.node('Gemm', names, { transA: Number(transA), transB: Number(transB) }),
    vjp: (dy) => [
      () => (transA ? gemm(b, dy, { transA: transB, transB: true }) : gemm(dy, b, { transB: !transB })),
      () => (transB ? gemm(dy, a, { transA: true, transB: transA }) : gemm(a, dy, { transA: !transA })),
      () => dy,
    ],
  });
}

/** accumulator + gradient, in one kernel if the gradient is a plain gemm, as the weight gradients of linear layers are. */
export function accumulate(accumulator: Value, gradient: Value): Value {
  if (!sameShape(accumulator.shape, gradient.shape)) {
    throw new Error(
      `accumulate: ${showShape(accumulator.shape)} cannot hold a gradient of ${showShape(gradient.shape)}`,
    );
  }
  const [a, b, plus] = gradient.inputs;
  if (gradient.op !== 'gemm' || a === undefined || b === undefined || plus !== undefined)
    return add(accumulator, gradient);
  return { ...gradient, inputs: [a, b, accumulator] };
}

// --- internal ---

/** Emits x with its last two axes exchanged. */
function emitTransposed(emitter: Emitter, name: string, { shape: { length: rank } }: Value): string {
  const leading = Array.from({ length: rank - 2 }, (_, axis) => axis);
  return emitter.node('Transpose', [name], { perm: [...leading, rank - 1, rank - 2] });
}

function lastTwo({ shape }: Value, transposed: boolean): Shape {
  if (shape.length < 2) throw new Error(`matmul: expected at least 2 axes, got ${showShape(shape)}`);
  const matrix = shape.slice(-2);
  return transposed ? matrix.reverse() : matrix;
}
