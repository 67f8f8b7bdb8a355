/**
 * Reverse-mode differentiation: one walk back from the outputs, which adds cotangents where paths meet.
 * Names no op: each node pulls its cotangent back by its own rule. Broadcast axes are summed here, once for all ops.
 */
import { add } from './ops/elementwise.ts';
import { reshape } from './ops/movement.ts';
import { sum } from './ops/reduce.ts';
import { type Shape, sameShape, showShape } from './shape.ts';
import { topological } from './topological.ts';
import type { Value } from './value.ts';

/**
 * Cotangents of `wrt`, given cotangents of some outputs: for L with dL/d(output) = cotangent, dL/d(wrt).
 *
 * @param outputs pairs of a value and its cotangent, of equal shape
 * @returns one cotangent per value of `wrt`, of its shape; null if no path leads to it
 * @throws if a path crosses an op that declares itself not differentiable
 */
export function gradients(
  outputs: readonly { value: Value; cotangent: Value }[],
  wrt: readonly Value[],
): (Value | null)[] {
  const order = topological(outputs.map(({ value }) => value));
  const needed = dependents(order, wrt);
  const cotangents = new Map<Value, Value>();

  const accumulate = (value: Value, cotangent: Value): void => {
    const reduced = unbroadcast(cotangent, value.shape);
    const known = cotangents.get(value);
    cotangents.set(value, known === undefined ? reduced : add(known, reduced));
  };

  for (const { value, cotangent } of outputs) {
    if (!sameShape(value.shape, cotangent.shape)) {
      throw new Error(
        `internal: cotangent ${showShape(cotangent.shape)} for a value of shape ${showShape(value.shape)} (${value.op})`,
      );
    }
    accumulate(value, cotangent);
  }
  for (const value of order.reverse()) {
    const dy = cotangents.get(value);
    if (dy === undefined || !value.inputs.some((source) => needed.has(source))) continue;
    const { vjp } = value.rule;
    if (typeof vjp !== 'function') {
      throw new Error(`no gradient through '${value.op}': ${vjp.none}`);
    }
    const pulled = vjp(dy, value);
    value.inputs.forEach((source, i) => {
      const thunk = pulled[i];
      if (thunk != null && needed.has(source)) accumulate(source, thunk());
    });
  }
  return wrt.map((value) => cotangents.get(value) ?? null);
}

// --- internal ---

/** The sources, and the values of a topological order that depend on one of them. */
function dependents(order: readonly Value[], sources: readonly Value[]): Set<Value> {
  const reached = new Set<Value>(sources);
  for (const value of order) {
    if (value.inputs.some((source) => reached.has(source))) reached.add(value);
  }
  return reached;
}

/** Sums the axes along which `shape` was broadcast to the cotangent's shape. */
function unbroadcast(cotangent: Value, shape: Shape): Value {
  if (sameShape(cotangent.shape, shape)) return cotangent;
  const extra = cotangent.shape.length - shape.length;
  const axes = cotangent.shape.flatMap((dim, i) => (i < extra || (shape[i - extra] === 1 && dim !== 1) ? [i] : []));
  if (extra < 0 || axes.length === 0) {
    throw new Error(`internal: cotangent ${showShape(cotangent.shape)} does not reduce to ${showShape(shape)}`);
  }
  const reduced = sum(cotangent, axes, true);
  return sameShape(reduced.shape, shape) ? reduced : reshape(reduced, shape);
}
