/**
 * First values of an adapter, as in PEFT (`reset_lora_parameters`). A is uniform within 1 / sqrt(in), which is PyTorch's
 * kaiming_uniform_ with a = sqrt(5), or normal with standard deviation 1 / rank. B is zero, so the first step starts from the
 * base model. With `false` both are random, as in a new linear layer of PyTorch.
 * The values of a tensor depend on the seed and its name only, not on which other layers are adapted.
 */
import { type Adapters, adapterA, adapterB } from '../nn/adapter.ts';
import { type FloatTensor, zeros } from '../runtime/tensor.ts';
import type { Random } from '../util/random.ts';

export type NewWeights = true | false | 'gaussian';

/** The tensors of new adapters, by canonical name. */
export function newAdapterTensors(adapters: Adapters, init: NewWeights, random: Random): Map<string, FloatTensor> {
  const tensors = new Map<string, FloatTensor>();
  for (const [layer, { rank, out, inner }] of Object.entries(adapters)) {
    const [a, b] = [zeros(rank, inner), zeros(out, rank)];
    const [ofA, ofB] = [random.fork(adapterA(layer)), random.fork(adapterB(layer))];
    if (init === 'gaussian') fill(a.data, () => ofA.normal() / rank);
    else fill(a.data, () => uniform(ofA, inner));
    if (init === false) fill(b.data, () => uniform(ofB, rank));
    tensors.set(adapterA(layer), a).set(adapterB(layer), b);
  }
  return tensors;
}

// --- internal ---

/** Uniform in ±1 / sqrt(inputs). */
const uniform = (random: Random, inputs: number): number => (2 * random.next() - 1) / Math.sqrt(inputs);

function fill(data: Float32Array, next: () => number): void {
  for (let i = 0; i < data.length; i++) data[i] = next();
}
