/**
 * Frozen weights that stay in memory as a checkpoint stores them, in 16 bits, or quantised. Only the layer that runs has
 * them in float32, in buffers that all layers share. Decoding takes them as they are (`stored`).
 * Knows names and memory, not what a tensor is for.
 */
import { holdHalf, widenHalf } from '../checkpoint/half_words.ts';
import type { Checkpoint, StoredTensor } from '../checkpoint/open.ts';
import {
  allocateQuantised,
  blockBytes,
  blocksIn,
  dequantise,
  type QuantBits,
  type QuantisedWeight,
  quantise,
  quantisedBytes,
} from '../checkpoint/quantised.ts';
import { QKV } from '../models/names.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Device } from '../runtime/device.ts';
import { type FloatTensor, sizeOf, zeros } from '../runtime/tensor.ts';
import { createHostWorkspace, type HostWorkspace } from '../runtime/workspace.ts';
import { createPause } from '../util/event_loop.ts';
import { widenInPieces } from './half_pieces.ts';
import { joined, jointParts, type OnRead, type Parameters, readAll, roleOf, type StoredWeight } from './parameters.ts';

export interface HeldOptions {
  /** Bits of quantised weights; null: as stored. */
  readonly bits: QuantBits | null;
  readonly onRead?: OnRead | undefined;
  /** That decodes; default the CPU. Words lie in its blocks of channels. */
  readonly device?: Device | undefined;
}

/** What is known of a tensor before it is read. */
export type SizedTensor = Pick<StoredTensor, 'shape' | 'dtype'>;

/** A matrix of a layer or block. All else (embeddings, mergers, norms, biases) is kept in float32. */
export const isHeld = (name: string, { shape, dtype }: SizedTensor, bits: QuantBits | null): boolean =>
  shape.length === 2 && roleOf(name) !== name && (bits !== null || dtype === 'BF16' || dtype === 'F16');

/** Bytes that `holdParameters` keeps: weights, and the float32 of one layer. */
export function heldBytes(tensors: ReadonlyMap<string, SizedTensor>, bits: QuantBits | null): number {
  const shared = new Map<string, number>();
  let bytes = 0;
  for (const [name, tensor] of tensors) {
    const size = sizeOf(tensor.shape);
    if (!isHeld(name, tensor, bits)) bytes += Float32Array.BYTES_PER_ELEMENT * size;
    else {
      const dims = tensor.shape as readonly [number, number];
      bytes += bits === null ? Uint16Array.BYTES_PER_ELEMENT * size : quantisedBytes(dims, bits);
      shared.set(roleOf(name), Float32Array.BYTES_PER_ELEMENT * size);
    }
  }
  return [...shared.values()].reduce((sum, size) => sum + size, bytes);
}

/**
 * Reads a checkpoint once and holds its matrices of layers and blocks as stored or quantised. The event loop gets its
 * turns meanwhile. A tensor from `value` is valid until the same tensor of another layer is asked for.
 * Error: E_WEIGHT_NOT_FINITE.
 */
export async function holdParameters(
  checkpoint: Checkpoint,
  { bits, onRead, device = cpu }: HeldOptions,
): Promise<Parameters> {
  const all = [...checkpoint.tensors.keys()];
  const bytesIn = (name: string): number => {
    const { begin, end } = checkpoint.tensors.get(name)!;
    return end - begin;
  };
  const total = all.reduce((sum, name) => sum + bytesIn(name), 0);
  // Matrices that a decode step multiplies by at once are held as one.
  const groups = new Map<string, readonly string[]>();
  for (const name of all) {
    const together = jointParts(name) ?? [name];
    const areHeld = together.every((part) => isHeld(part, checkpoint.tensors.get(part)!, bits));
    if (areHeld) groups.set(together.length === 1 ? name : jointName(name), together);
  }
  const inGroups = new Set([...groups.values()].flat());
  let before = 0;
  const plain = await readAll(
    checkpoint,
    all.filter((name) => !inGroups.has(name)),
    async ({ done }) => {
      before = done;
      await onRead?.({ done, total });
    },
  );
  const held = new Map<string, StoredWeight>();
  const pause = createPause();
  const scratch = createHostWorkspace();
  const block = bits === null ? ((await device.channelBlock()) ?? 1) : 1;
  for (const [name, parts] of groups) {
    await pause();
    for (const [each, weight] of hold(checkpoint, name, parts, bits, block, scratch)) held.set(each, weight);
    before += parts.reduce((sum, part) => sum + bytesIn(part), 0);
    await onRead?.({ done: before, total });
  }

  const shared = new Map<string, { holds: string; tensor: FloatTensor }>();
  /** The buffer of a weight, which is the weight's from now on, and whether it has its values already. */
  const slotOf = (name: string, { dims }: StoredWeight): { tensor: FloatTensor; isWide: boolean } => {
    const role = roleOf(name);
    const slot = shared.get(role);
    const tensor = slot?.tensor ?? zeros(...dims);
    shared.set(role, { holds: name, tensor });
    return { tensor, isWide: slot?.holds === name };
  };
  return {
    names: all,
    inMemory: false,
    trained: [],
    adapters: {},
    isTrained: () => false,
    device,
    shape: (name) => checkpoint.tensors.get(name)?.shape ?? held.get(name)?.dims ?? [],
    stored: (name) => held.get(name) ?? null,
    value(name) {
      const weight = held.get(name);
      if (weight === undefined)
        return plain.get(name) ?? joined((jointParts(name) ?? []).map((part) => plain.get(part)!));
      const { tensor, isWide } = slotOf(name, weight);
      if (!isWide) widenInto(weight, tensor.data);
      return tensor;
    },
    async load(name) {
      const weight = held.get(name);
      if (weight?.kind !== 'half') return;
      const { tensor, isWide } = slotOf(name, weight);
      if (!isWide) await widenInPieces(weight, tensor);
    },
    gradient: (name) => {
      throw new Error(`internal: parameter '${name}' is not trained`);
    },
    zeroGradients: async () => undefined,
  };
}

/** The values of a stored weight, in float32. */
export function widenInto(weight: StoredWeight, target: Float32Array): void {
  if (weight.kind === 'half') widenHalf(weight, target);
  else dequantise(weight, target);
}

// --- internal ---

const jointName = (part: string): string => {
  const own = QKV.parts.find((each) => part.includes(`.${each}.`))!;
  return part.replace(`.${own}.`, `.${QKV.name}.`);
};

/** Reads the parts of a weight, stacked, and returns it with each of them, over the same memory. */
function hold(
  checkpoint: Checkpoint,
  name: string,
  parts: readonly string[],
  bits: QuantBits | null,
  block: number,
  scratch: HostWorkspace,
): [string, StoredWeight][] {
  const shapes = parts.map((part) => checkpoint.tensors.get(part)!.shape as readonly [number, number]);
  const inner = shapes[0]![1];
  const dims = [shapes.reduce((sum, [out]) => sum + out, 0), inner] as const;
  const { data: values } = scratch.get('values', ...dims);
  const starts = shapes.map((_, i) => shapes.slice(0, i).reduce((sum, [out]) => sum + out, 0));
  for (const [i, part] of parts.entries())
    checkpoint.readInto(part, values.subarray(starts[i]! * inner, (starts[i]! + shapes[i]![0]) * inner));
  // Only layers decode, and only blocks that are whole in every part.
  const inBlocks =
    /\.layers\./.test(name) && [inner, ...shapes.map(([out]) => out)].every((size) => size % block === 0);
  const areBfloat = parts.every((part) => checkpoint.tensors.get(part)!.dtype === 'BF16');
  const whole =
    bits === null ? holdHalf(values, dims, inBlocks ? block : 1, areBfloat) : quantisedOf(values, dims, bits);
  if (parts.length === 1) return [[name, whole]];
  return [
    [name, whole],
    ...parts.map((part, i): [string, StoredWeight] => [part, rowsOf(whole, starts[i]!, shapes[i]![0])]),
  ];
}

function quantisedOf(values: Float32Array, dims: readonly [number, number], bits: QuantBits): QuantisedWeight {
  const weight = allocateQuantised(dims, bits);
  quantise(values, weight);
  return weight;
}

/** Rows of a weight, over the same memory. */
function rowsOf(weight: StoredWeight, start: number, count: number): StoredWeight {
  const dims = [count, weight.dims[1]] as const;
  if (weight.kind === 'half')
    return { ...weight, words: weight.words.subarray(start * dims[1], (start + count) * dims[1]), dims };
  const blocks = blocksIn(dims[1]);
  const bytes = blocks * blockBytes(weight.bits);
  return {
    ...weight,
    codes: weight.codes.subarray(start * bytes, (start + count) * bytes),
    scales: weight.scales.subarray(start * blocks, (start + count) * blocks),
    dims,
  };
}
