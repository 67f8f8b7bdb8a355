/**
 * The model's tensors by canonical name: values, and gradient accumulators of those that are trained. On a device with memory of
 * its own, what training changes lives there and nowhere else, so that nothing can be read that is out of date.
 * Knows names and memory, not what a tensor is for.
 */
import type { HalfWeight } from '../checkpoint/half_words.ts';
import type { Checkpoint } from '../checkpoint/open.ts';
import type { QuantisedWeight } from '../checkpoint/quantised.ts';
import { QKV } from '../models/names.ts';
import type { Adapters } from '../nn/adapter.ts';
import { cpu } from '../runtime/cpu.ts';
import { type Device, here } from '../runtime/device.ts';
import { type FloatTensor, floats, sizeOf, type Tensor, zeros } from '../runtime/tensor.ts';
import { createPause } from '../util/event_loop.ts';
import type { Resident } from './resident_form.ts';

export interface Parameters {
  readonly names: readonly string[];
  /** Whether `value` gives the same array every time, which training changes in place. */
  readonly inMemory: boolean;
  /** Where tensors that change live, with their gradients. */
  readonly device: Device;
  /**
   * A tensor by its name; by a joint name, `...self_attn.qkv_proj.weight`, three that lie one after another in this process's
   * memory.
   */
  value(name: string): Tensor;
  /** Writes what `value` will give, in the threads of the runtime. Absent, or for other tensors: `value` writes it itself. */
  load?(name: string): Promise<void>;
  isTrained(name: string): boolean;
  /** Accumulator of a trained parameter's gradient; in this process's memory it is allocated on first use. */
  gradient(name: string): Tensor;
  zeroGradients(): Promise<void>;
  /** Trained names, in a fixed order. */
  readonly trained: readonly string[];
  shape(name: string): readonly number[];
  /** Adapters by the canonical name of the layer they are on. */
  readonly adapters: Adapters;
  /** A matrix as it lies in memory, if that is not in float32: by its name or by a joint name. Absent: none does. */
  stored?(name: string): StoredWeight | null;
  /**
   * A frozen tensor as it stays in a device's own memory, which is fed in its place; null for one of which `value` always gives the
   * same array. Absent: no device keeps any.
   */
  resident?(name: string): Resident | null;
}

/** A frozen weight that is not in float32. */
export type StoredWeight = HalfWeight | QuantisedWeight;

/** Bytes of tensors by their names, as they are kept. */
export const bytesOf = (parameters: Parameters, names: readonly string[]): number =>
  names.reduce((sum, name) => {
    const stored = parameters.stored?.(name) ?? null;
    return (
      sum + (stored === null ? Float32Array.BYTES_PER_ELEMENT * sizeOf(parameters.shape(name)) : storedBytes(stored))
    );
  }, 0);

/**
 * Reads every tensor of a checkpoint and widens it to float32; the event loop gets its turns meanwhile.
 * Error: E_WEIGHT_NOT_FINITE; for streamed weights, `value` throws it too.
 */
export async function loadParameters(
  checkpoint: Checkpoint,
  isTrained: (name: string) => boolean,
  { onRead, ...options }: ParametersOptions & { readonly onRead?: OnRead | undefined } = {},
): Promise<Parameters> {
  return parametersOf(await readAll(checkpoint, [...checkpoint.tensors.keys()], onRead), isTrained, options);
}

export interface ParametersOptions {
  /** Default: the CPU. */
  readonly device?: Device;
  /** Whether a tensor changes; default: whether it is trained. A reference that follows the policy changes untrained. */
  readonly changes?: (name: string) => boolean;
}

/** Called while weights are read, first with 0: bytes done and bytes in total, as they are stored. */
export type OnRead = (read: { readonly done: number; readonly total: number }) => void | Promise<void>;

/** float32 bytes from which on frozen weights are streamed: widened when they are used, instead of at once. */
export const STREAM_BYTES = 4 * 2 ** 30;

/** float32 bytes of tensors in memory. Where they are streamed, of each layer's tensors only one layer's are there. */
export function bytesHeld(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  streams: boolean,
): number {
  const held = new Map([...tensors].map(([name, { shape }]) => [streams ? roleOf(name) : name, sizeOf(shape)]));
  return [...held.values()].reduce((sum, size) => sum + Float32Array.BYTES_PER_ELEMENT * size, 0);
}

/**
 * Frozen weights that stay on disk. When a layer runs, its tensors are read and widened into buffers that all layers share.
 * Tensors that belong to no layer (embeddings, norms, merger) are read once and kept.
 * A tensor is valid until the same tensor of another layer is asked for. The checkpoint must stay open.
 */
export async function streamParameters(checkpoint: Checkpoint, onRead?: OnRead): Promise<Parameters> {
  const kept = await readAll(
    checkpoint,
    [...checkpoint.tensors.keys()].filter((name) => roleOf(name) === name),
    onRead,
  );
  const shared = new Map<string, { holds: string; tensor: FloatTensor }>();
  return {
    names: [...checkpoint.tensors.keys()],
    inMemory: false,
    trained: [],
    adapters: {},
    isTrained: () => false,
    device: cpu,
    shape: (name) => checkpoint.tensors.get(name)?.shape ?? [],
    value(name) {
      const known = kept.get(name);
      if (known !== undefined) return known;
      const role = roleOf(name);
      const slot = shared.get(role);
      if (slot?.holds === name) return slot.tensor;
      const parts = name.includes(JOINT) ? jointParts(name)! : [name];
      const tensor = jointBuffer(checkpoint, parts, slot?.tensor.data);
      for (const [part, { data }] of partsOf(checkpoint, parts, tensor)) checkpoint.readInto(part, data);
      shared.set(role, { holds: name, tensor });
      return tensor;
    },
    gradient: (name) => {
      throw new Error(`internal: parameter '${name}' is not trained`);
    },
    zeroGradients: async () => undefined,
  };
}

/** Parameters over tensors of this process. Those that change move to a device that has memory of its own. */
export async function parametersOf(
  values: ReadonlyMap<string, FloatTensor>,
  isTrained: (name: string) => boolean,
  { device = cpu, changes = isTrained }: ParametersOptions = {},
): Promise<Parameters> {
  const names = [...values.keys()];
  const own = new Map<string, Tensor>(values);
  const gradients = new Map<string, Tensor>();
  if (!device.sharesMemory) {
    for (const [name, tensor] of values) {
      if (changes(name)) own.set(name, await device.upload(tensor));
      if (isTrained(name)) gradients.set(name, await device.allocate('float32', tensor.dims));
    }
  }
  const known = (name: string): Tensor => {
    const tensor = own.get(name);
    if (tensor !== undefined) return tensor;
    if (name.includes(JOINT)) return joined(jointParts(name)!.map((part) => here(known(part))));
    throw new Error(`internal: no parameter '${name}'`);
  };
  return {
    names,
    inMemory: true,
    trained: names.filter(isTrained),
    adapters: {},
    value: known,
    isTrained,
    device,
    shape: (name) => known(name).dims,
    gradient(name) {
      if (!isTrained(name)) throw new Error(`internal: parameter '${name}' is not trained`);
      const gradient = gradients.get(name) ?? zeros(...known(name).dims);
      gradients.set(name, gradient);
      return gradient;
    },
    async zeroGradients() {
      for (const gradient of gradients.values()) await device.clear(gradient);
    },
  };
}

/** The tensors that a joint name stands for, or that lie together with the named one; null for any other name. */
export function jointParts(name: string): string[] | null {
  const [, layer, part, suffix] = /^(.*\.layers\.\d+\.)(.+)\.(weight|bias)$/.exec(name) ?? [];
  if (![QKV.name, ...QKV.parts].some((each) => each === part)) return null;
  return QKV.parts.map((each) => `${layer}${each}.${suffix}`);
}

/** The name of a tensor without its layer: `model.layers.3.x` -> `model.layers.*.x`. */
export const roleOf = (name: string): string => name.replace(/\.(layers|blocks)\.\d+\./, '.$1.*.');

/** One tensor over parts that lie one after another. */
export function joined(parts: readonly FloatTensor[]): FloatTensor {
  const [first] = parts as [FloatTensor];
  let end = first.data.byteOffset;
  for (const { data } of parts) {
    if (data.buffer !== first.data.buffer || data.byteOffset !== end)
      throw new Error('internal: parts of a joint parameter do not lie one after another');
    end += data.byteLength;
  }
  const data = new Float32Array(first.data.buffer, first.data.byteOffset, (end - first.data.byteOffset) / 4);
  return floats(data, joinedShape(parts.map(({ dims }) => dims)));
}

/** Reads tensors piece by piece, so that the event loop gets its turns. */
export async function readAll(
  checkpoint: Checkpoint,
  names: readonly string[],
  onRead: OnRead = () => undefined,
): Promise<Map<string, FloatTensor>> {
  const pause = createPause();
  const stored = (name: string): number => {
    const { begin, end } = checkpoint.tensors.get(name)!;
    return end - begin;
  };
  const total = names.reduce((sum, name) => sum + stored(name), 0);
  let done = 0;
  await onRead({ done, total });
  const values = new Map<string, FloatTensor>();
  for (const name of names) {
    if (!values.has(name)) {
      const together = jointParts(name) ?? [name];
      const joint = jointBuffer(checkpoint, together);
      for (const [part, tensor] of partsOf(checkpoint, together, joint)) values.set(part, tensor);
    }
    const { data } = values.get(name)!;
    for (let from = 0; from < data.length; from += READ_ELEMENTS) {
      await pause();
      checkpoint.readInto(name, data.subarray(from, from + READ_ELEMENTS), from);
      const share = Math.min(1, (from + READ_ELEMENTS) / data.length);
      await onRead({ done: done + share * stored(name), total });
    }
    done += stored(name);
  }
  return new Map(names.map((name) => [name, values.get(name)!]));
}

// --- internal ---

/** In the joint name of the weights, or biases, that make queries, keys and values of the same rows. */
const JOINT = `.${QKV.name}.`;

function storedTensor(checkpoint: Checkpoint, name: string): { readonly shape: readonly number[] } {
  const stored = checkpoint.tensors.get(name);
  if (stored === undefined) throw new Error(`internal: no parameter '${name}'`);
  return stored;
}

/** Memory for tensors one after another; they agree in all sizes but the first. */
function jointBuffer(checkpoint: Checkpoint, names: readonly string[], buffer?: Float32Array): FloatTensor {
  const dims = joinedShape(names.map((name) => storedTensor(checkpoint, name).shape));
  const size = sizeOf(dims);
  return floats(buffer?.length === size ? buffer : new Float32Array(size), dims);
}

/** Each name with its part of the joint tensor. */
function partsOf(checkpoint: Checkpoint, names: readonly string[], { data }: FloatTensor): [string, FloatTensor][] {
  let next = 0;
  return names.map((name) => {
    const { shape } = storedTensor(checkpoint, name);
    const start = next;
    next += sizeOf(shape);
    return [name, floats(data.subarray(start, next), shape)];
  });
}

function joinedShape(shapes: readonly (readonly number[])[]): readonly number[] {
  const [[, ...rest]] = shapes as [[number, ...number[]]];
  return shapes.length === 1 ? shapes[0]! : [shapes.reduce((sum, [size]) => sum + size!, 0), ...rest];
}

/** Elements read at a time: some 10 ms. */
const READ_ELEMENTS = 2 ** 22;

const storedBytes = (stored: StoredWeight): number =>
  stored.kind === 'half' ? stored.words.byteLength : stored.codes.byteLength + stored.scales.byteLength;
