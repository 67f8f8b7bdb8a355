/**
 * Parameters as a frozen store with an overlay: adapters, and tensors of one's own in place of the store's. Only what is in
 * the overlay may be trained, and it alone has gradients. The store may be in memory or stay on disk, and several overlays
 * may share one.
 */

import { EMBEDDING, HEAD } from '../models/names.ts';
import type { Adapters } from '../nn/adapter.ts';
import { cpu } from '../runtime/cpu.ts';
import { type Device, here } from '../runtime/device.ts';
import { type FloatTensor, floats, sizeOf } from '../runtime/tensor.ts';
import { jointParts, type Parameters, parametersOf } from './parameters.ts';

export interface Overlay {
  /** By canonical layer name. */
  readonly adapters: Adapters;
  /** The adapters' tensors, and those that stand in place of the store's, by canonical name. */
  readonly tensors: ReadonlyMap<string, FloatTensor>;
}

/** @param isTrained is asked of the overlay's tensors */
export async function withOverlay(
  store: Parameters,
  { adapters, tensors }: Overlay,
  isTrained: (name: string) => boolean,
  device: Device = cpu,
): Promise<Parameters> {
  const own = await parametersOf(tensors, isTrained, { device });
  const isOwn = (name: string): boolean => (ownParts(name) ?? [name]).every((part) => tensors.has(part));
  const of = (name: string): Parameters => (isOwn(name) ? own : store);
  return {
    names: [...store.names, ...own.names.filter((name) => !store.names.includes(name))],
    inMemory: store.inMemory,
    trained: own.trained,
    adapters: { ...store.adapters, ...adapters },
    isTrained: (name) => tensors.has(name) && isTrained(name),
    value: (name) => of(name).value(name),
    load: async (name) => of(name).load?.(name),
    shape: (name) => of(name).shape(name),
    stored: (name) => of(name).stored?.(name) ?? null,
    ...(store.resident && { resident: (name) => of(name).resident?.(name) ?? null }),
    device: own.device,
    gradient: own.gradient,
    zeroGradients: own.zeroGradients,
  };
}

/** The store with a head under a name of its own, also where the embedding is the head. */
export function withHead(store: Parameters): Parameters {
  if (store.names.includes(HEAD)) return store;
  const named = (name: string): string => (name === HEAD ? EMBEDDING : name);
  return {
    ...store,
    names: [...store.names, HEAD],
    value: (name) => store.value(named(name)),
    shape: (name) => store.shape(named(name)),
    ...(store.resident && { resident: (name: string) => store.resident!(named(name)) }),
  };
}

/**
 * Copies of a store's tensors, to be trained in their place. Tensors that lie one after another with others stay so: the
 * others are copied with them.
 */
export function copiesOf(store: Parameters, names: readonly string[]): Map<string, FloatTensor> {
  const copies = new Map<string, FloatTensor>();
  for (const name of names) {
    if (copies.has(name)) continue;
    const parts = jointParts(name) ?? [name];
    const size = parts.reduce((sum, part) => sum + sizeOf(store.shape(part)), 0);
    const whole = new Float32Array(size);
    let next = 0;
    for (const part of parts) {
      const { data, dims } = here(store.value(part));
      const copy = floats(whole.subarray(next, next + data.length), dims);
      copy.data.set(data);
      copies.set(part, copy);
      next += data.length;
    }
  }
  return copies;
}

// --- internal ---

/** The parts that a joint name stands for; null for the name of a single tensor. */
const ownParts = (name: string): string[] | null => {
  const parts = jointParts(name);
  return parts === null || parts.includes(name) ? null : parts;
};
