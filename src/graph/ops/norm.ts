/**
 * Root-mean-square normalisation (Zhang & Sennrich 2019) and layer normalisation (Ba et al. 2016), each as one kernel
 * forward and a handful of passes backward.
 */
import { showShape } from '../shape.ts';
import type { Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';
import { add, div, mul, sqrt, square, sub } from './elementwise.ts';
import { mean } from './reduce.ts';

/** x / sqrt(mean(x²) + epsilon) · weight over the last axis: x [n, h], weight [h]. */
export function rmsNorm(x: Value, weight: Value, epsilon: number): Value {
  requireFloat('rmsNorm', x, weight);
  if (weight.shape.length !== 1 || weight.shape[0] !== x.shape.at(-1)) {
    throw new Error(`rmsNorm: weight ${showShape(weight.shape)} does not fit the last axis of ${showShape(x.shape)}`);
  }
  // With r = 1 / sqrt(mean(x²) + ε) and x̂ = x r:  dx = r (dx̂ - x̂ mean(dx̂ x̂)),  dx̂ = dy · weight.
  const normalised = (): { xHat: Value; r: Value } => {
    const r = div(1, sqrt(add(mean(square(x), [-1], true), epsilon)));
    return { xHat: mul(x, r), r };
  };
  return makeNode({
    op: 'rmsNorm',
    inputs: [x, weight],
    shape: x.shape,
    emit: (emitter, names) =>
      emitter.node('SimplifiedLayerNormalization', names, { axis: -1, epsilon: { float: epsilon }, stash_type: 1 }),
    vjp: (dy) => [
      () => {
        const { xHat, r } = normalised();
        const dHat = mul(dy, weight);
        return mul(r, sub(dHat, mul(xHat, mean(mul(dHat, xHat), [-1], true))));
      },
      () => mul(dy, normalised().xHat),
    ],
  });
}

/** (x - mean(x)) / sqrt(var(x) + epsilon) · weight + bias over the last axis: x [n, h], weight and bias [h]. */
export function layerNorm(x: Value, weight: Value, bias: Value, epsilon: number): Value {
  requireFloat('layerNorm', x, weight, bias);
  for (const [name, { shape }] of Object.entries({ weight, bias })) {
    if (shape.length !== 1 || shape[0] !== x.shape.at(-1))
      throw new Error(`layerNorm: ${name} ${showShape(shape)} does not fit the last axis of ${showShape(x.shape)}`);
  }
  // With c = x - mean(x), r = 1 / sqrt(mean(c²) + ε), x̂ = c r:  dx = r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)),  dx̂ = dy · weight.
  const normalised = (): { xHat: Value; r: Value } => {
    const centred = sub(x, mean(x, [-1], true));
    const r = div(1, sqrt(add(mean(square(centred), [-1], true), epsilon)));
    return { xHat: mul(centred, r), r };
  };
  return makeNode({
    op: 'layerNorm',
    inputs: [x, weight, bias],
    shape: x.shape,
    emit: (emitter, names) =>
      emitter.node('LayerNormalization', names, { axis: -1, epsilon: { float: epsilon }, stash_type: 1 }),
    vjp: (dy) => [
      () => {
        const { xHat, r } = normalised();
        const dHat = mul(dy, weight);
        const both = add(mean(dHat, [-1], true), mul(xHat, mean(mul(dHat, xHat), [-1], true)));
        return mul(r, sub(dHat, both));
      },
      () => mul(dy, normalised().xHat),
      () => dy,
    ],
  });
}
