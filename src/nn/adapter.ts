/**
 * Adapters of a module: which of its linear layers have a low-rank update, and the names of the update's tensors.
 * Knows names and sizes; linear.ts computes the update.
 */
import type { Constant, Module } from '../graph/module.ts';
import { mul } from '../graph/ops/elementwise.ts';
import type { Dim, Shape } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import type { FrozenMatrix, LinearLayer, LowRankUpdate } from './linear.ts';

/** The update scale · b · a of a weight [out, in]: a [rank, in], b [out, rank]. */
export interface Adapter {
  readonly rank: number;
  readonly scale: number;
  readonly out: number;
  readonly inner: number;
}

/** Adapters by the name of their layer. */
export type Adapters = Readonly<Record<string, Adapter>>;

/** Names of an adapter's tensors, as in PEFT. */
export const adapterA = (layer: string): string => `${layer}.lora_A.weight`;
export const adapterB = (layer: string): string => `${layer}.lora_B.weight`;
/** The layer that the tensor with this name adapts, or the name itself if the tensor does not belong to an adapter. */
export const adaptedLayer = (tensor: string): string => tensor.replace(/\.lora_[AB]\.weight$/, '');
/** A constant of the module: the dropout mask of the update's input. */
export const adapterMask = (layer: string): string => `${layer}.lora_dropout`;

/** The adapter's tensors with their shapes. */
export const adapterShapes = (layer: string, { rank, out, inner }: Adapter): Record<string, readonly number[]> => ({
  [adapterA(layer)]: [rank, inner],
  [adapterB(layer)]: [out, rank],
});

/**
 * The linear layer `name` from a module's tensors: `<name>.weight`, `<name>.bias`, and its update if it has one.
 *
 * @param other a weight in place of `<name>.weight`
 */
export function layerOf(w: Readonly<Record<string, Value>>, name: string, other?: FrozenMatrix): LinearLayer {
  const weight = other ?? w[`${name}.weight`];
  if (weight === undefined) throw new Error(`internal: no linear layer '${name}' among a module's tensors`);
  return { weight, bias: w[`${name}.bias`], update: updateOf(w, name) };
}

/** The update that is added to the output of linear layer `name`, if there is one. */
export function updateOf(w: Readonly<Record<string, Value>>, name: string): LowRankUpdate | undefined {
  const [a, b] = [w[adapterA(name)], w[adapterB(name)]];
  return a === undefined || b === undefined ? undefined : { a, b, mask: w[adapterMask(name)] };
}

/**
 * The module with adapters on some of its linear layers; the same module if there are none.
 *
 * @param adapters by the layers' names in the module
 * @param dropoutRows number of rows for which dropout masks are fed; null for no dropout
 */
export function adapted(module: Module, adapters: Adapters, dropoutRows: Dim | null = null): Module {
  const entries = Object.entries(adapters);
  if (entries.length === 0) return module;
  const params: Record<string, Shape> = { ...module.params };
  const constants: Record<string, Constant> = { ...module.constants };
  for (const [layer, adapter] of entries) {
    Object.assign(params, adapterShapes(layer, adapter));
    if (dropoutRows !== null) constants[adapterMask(layer)] = { shape: [dropoutRows, adapter.inner] };
  }
  return {
    ...module,
    params,
    constants,
    build: (w) => {
      const scaled = entries.map(([layer, { scale }]) => [adapterB(layer), mul(w[adapterB(layer)]!, scale)]);
      return module.build({ ...w, ...Object.fromEntries(scaled) });
    },
  };
}
