/**
 * First values of an adapter, as PEFT makes them (`reset_lora_parameters`): A is uniform within 1 / sqrt(in), which is
 * PyTorch's kaiming_uniform_ with a = sqrt(5), or normal with deviation 1 / rank; B is zero, so that the model begins as it
 * was. With `false` both are random, as PyTorch makes the weights of linear layers.
 * Each tensor's values come from the seed and its name: they do not depend on which other layers are adapted.
 */
import { type Adapters, adapterA, adapterB } from '../nn/adapter.ts';
import { type FloatTensor, zeros } from '../runtime/tensor.ts';
import type { Random } from '../util/random.ts';

export type NewWeights = true | false | 'gaussian';

/** The tensors of fresh adapters, by canonical name. */
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

/** Uniform within 1 / sqrt(inputs) of zero. */
const uniform = (random: Random, inputs: number): number => (2 * random.next() - 1) / Math.sqrt(inputs);

function fill(data: Float32Array, next: () => number): void {
  for (let i = 0; i < data.length; i++) data[i] = next();
}
