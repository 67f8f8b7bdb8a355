/**
 * Keys and values where decode runs read them and put each token. On a device with memory of its own they stay there from run to
 * run, and come back when the cache moves into another shape. Knows tensors and devices, not places.
 */
import type { Device } from '../runtime/device.ts';
import type { FloatTensor, Tensor } from '../runtime/tensor.ts';
import type { KvCache, LayerCache } from './kv_cache.ts';

export interface CacheOnDevice {
  /** What runs are fed; `kOwn` and `vOwn` are also what they write to. */
  readonly layers: readonly Readonly<Record<keyof LayerCache, Tensor>>[];
  /** Writes what runs have put in into the cache's own tensors. */
  bringBack(): Promise<void>;
  /** Frees the device's memory; the tensors must not be fed again. */
  release(): void;
}

/** The prompts of the cache must not change any more. */
export async function cacheOnDevice(device: Device, { layers }: KvCache): Promise<CacheOnDevice> {
  if (device.sharesMemory) return { layers, bringBack: async () => undefined, release: () => undefined };
  // Buffers of prompts are reused by later caches: a tensor that is held before keeps the number that it was held with.
  const number = ++caches;
  const held = (tensor: FloatTensor): FloatTensor => device.hold(tensor, () => number);
  const there: Record<keyof LayerCache, Tensor>[] = [];
  for (const { kPrompt, vPrompt, kOwn, vOwn } of layers)
    there.push({
      ...{ kPrompt: held(kPrompt), vPrompt: held(vPrompt) },
      ...{ kOwn: await device.upload(kOwn), vOwn: await device.upload(vOwn) },
    });
  return {
    layers: there,
    async bringBack() {
      for (const [layer, { kOwn, vOwn }] of layers.entries()) {
        kOwn.data.set((await device.download(there[layer]!.kOwn)).data);
        vOwn.data.set((await device.download(there[layer]!.vOwn)).data);
      }
    },
    release() {
      for (const { kOwn, vOwn } of there) for (const tensor of [kOwn, vOwn]) device.release(tensor);
    },
  };
}

// --- internal ---

/** Caches that have been put on a device. */
let caches = 0;
