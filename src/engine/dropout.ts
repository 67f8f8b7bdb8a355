/**
 * Dropout (Srivastava et al. 2014) of the inputs of adapters, as masks that a module is fed.
 * A mask depends on the forward's stream, the layer's name and the number of its rows, on nothing that was drawn before: so
 * backward, which recomputes a layer, draws the same one, and no mask has to be kept.
 */
import type { Module } from '../graph/module.ts';
import { adapterMask } from '../nn/adapter.ts';
import type { FloatTensor } from '../runtime/tensor.ts';
import type { HostWorkspace } from '../runtime/workspace.ts';
import type { Random } from '../util/random.ts';
import type { NameOf } from './bindings.ts';

export interface Dropout {
  /** Share of elements that become zero, in [0, 1); the others are divided by what is left. */
  readonly rate: number;
  /** The stream of one forward. */
  readonly random: Random;
}

/** Masks for every adapter of a module that takes one: [rows, in], valid until the module is next run. */
export function dropoutMasks(
  module: Module,
  { rate, random }: Dropout,
  nameOf: NameOf,
  rows: number,
  workspace: HostWorkspace,
): Record<string, FloatTensor> {
  const suffix = adapterMask('');
  return Object.fromEntries(
    Object.entries(module.constants)
      .filter(([name]) => name.endsWith(suffix))
      .map(([name, { shape }]) => {
        const mask = workspace.get(`dropout.${name}`, rows, Number(shape[1]));
        fillMask(mask.data, rate, random.fork(nameOf(name)));
        return [name, mask];
      }),
  );
}

/** Zeros with probability `rate` each, elsewhere 1 / (1 - rate). The gaps between zeros are drawn: they are geometric. */
export function fillMask(mask: Float32Array, rate: number, random: Random): void {
  mask.fill(1 / (1 - rate));
  if (rate === 0) return;
  const perGap = 1 / Math.log1p(-rate);
  const gap = (): number => Math.floor(Math.log1p(-random.next()) * perGap);
  for (let i = gap(); i < mask.length; i += 1 + gap()) mask[i] = 0;
}
