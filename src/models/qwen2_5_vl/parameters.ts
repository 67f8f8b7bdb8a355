/**
 * The model's tensors by canonical name: values, and gradient accumulators of those that are trained.
 * Knows names and memory; not what a tensor is for.
 */
import type { Checkpoint } from '../../checkpoint/open.ts';
import { type FloatTensor, floats, sizeOf, zeros } from '../../runtime/tensor.ts';

export interface Parameters {
  readonly names: readonly string[];
  /** Whether a value stays where it is: the same array every time, changed in place by training. */
  readonly inMemory: boolean;
  /** A tensor by its name, or three that lie one after another by their joint one: `...self_attn.qkv_proj.weight`. */
  value(name: string): FloatTensor;
  isTrained(name: string): boolean;
  /** Accumulator of a trained parameter's gradient; allocated on first use. */
  gradient(name: string): FloatTensor;
  zeroGradients(): void;
  /** Trained names, in a fixed order. */
  readonly trained: readonly string[];
  shape(name: string): readonly number[];
}

/** Reads every tensor of a checkpoint, widened to float32. */
export function loadParameters(checkpoint: Checkpoint, isTrained: (name: string) => boolean): Parameters {
  const values = new Map<string, FloatTensor>();
  for (const name of checkpoint.tensors.keys()) {
    const parts = jointParts(name);
    if (parts === null) values.set(name, readInto(checkpoint, [name], isolated));
    else if (!values.has(name)) {
      const joint = readInto(checkpoint, parts, isolated);
      let next = 0;
      for (const part of parts) {
        const { shape } = storedTensor(checkpoint, part);
        values.set(part, floats(joint.data.subarray(next, next + sizeOf(shape)), shape));
        next += sizeOf(shape);
      }
    }
  }
  const inOrder = [...checkpoint.tensors.keys()].map((name): [string, FloatTensor] => [name, values.get(name)!]);
  return parametersOf(new Map(inOrder), isTrained);
}

/** float32 bytes of a checkpoint from which frozen weights are widened when they are used instead of at once. */
export const STREAM_BYTES = 4 * 2 ** 30;

/**
 * Frozen weights that stay on disk as they are stored: a layer's tensors are read and widened into buffers that all
 * layers share, when the layer runs. Tensors of no layer (embeddings, norms, merger) are read once and kept.
 * A tensor is valid until the same tensor of another layer is asked for. The checkpoint must stay open.
 */
export function streamParameters(checkpoint: Checkpoint): Parameters {
  const kept = new Map<string, FloatTensor>();
  const shared = new Map<string, { holds: string; tensor: FloatTensor }>();
  return {
    names: [...checkpoint.tensors.keys()],
    inMemory: false,
    trained: [],
    isTrained: () => false,
    shape: (name) => checkpoint.tensors.get(name)?.shape ?? [],
    value(name) {
      const role = name.replace(/\.(layers|blocks)\.\d+\./, '.$1.*.');
      if (role === name) {
        const tensor = kept.get(name) ?? readInto(checkpoint, [name], isolated);
        kept.set(name, tensor);
        return tensor;
      }
      const slot = shared.get(role);
      if (slot?.holds === name) return slot.tensor;
      const parts = name.includes(JOINT) ? jointParts(name)! : [name];
      const tensor = readInto(checkpoint, parts, (size) =>
        slot?.tensor.data.length === size ? slot.tensor.data : isolated(size),
      );
      shared.set(role, { holds: name, tensor });
      return tensor;
    },
    gradient: (name) => {
      throw new Error(`internal: parameter '${name}' is not trained`);
    },
    zeroGradients: () => undefined,
  };
}

export function parametersOf(
  values: ReadonlyMap<string, FloatTensor>,
  isTrained: (name: string) => boolean,
): Parameters {
  const gradients = new Map<string, FloatTensor>();
  const names = [...values.keys()];
  const known = (name: string): FloatTensor => {
    const tensor = values.get(name);
    if (tensor !== undefined) return tensor;
    if (name.includes(JOINT)) return joined(jointParts(name)!.map(known));
    throw new Error(`internal: no parameter '${name}'`);
  };
  return {
    names,
    inMemory: true,
    trained: names.filter(isTrained),
    value: known,
    isTrained,
    shape: (name) => known(name).dims,
    gradient(name) {
      if (!isTrained(name)) throw new Error(`internal: parameter '${name}' is not trained`);
      const gradient = gradients.get(name) ?? zeros(...known(name).dims);
      gradients.set(name, gradient);
      return gradient;
    },
    zeroGradients() {
      for (const { data } of gradients.values()) data.fill(0);
    },
  };
}

/** Which canonical names belong to the language model, the tower and the merger ("aligner"). */
export type ModelPart = 'llm' | 'vit' | 'aligner';

export function partOf(name: string): ModelPart {
  if (name.startsWith('visual.merger.')) return 'aligner';
  return name.startsWith('visual.') ? 'vit' : 'llm';
}

// --- internal ---

/** In the joint name of the weights, or biases, that make queries, keys and values of the same rows. */
const JOINT = '.self_attn.qkv_proj.';

/** The tensors that a joint name stands for, or that lie beside this one; null for any other name. */
function jointParts(name: string): string[] | null {
  const [, prefix, suffix] = /^(.*\.layers\.\d+\.self_attn\.)(?:q|k|v|qkv)_proj\.(weight|bias)$/.exec(name) ?? [];
  return prefix === undefined ? null : ['q', 'k', 'v'].map((part) => `${prefix}${part}_proj.${suffix}`);
}

const isolated = (size: number): Float32Array<ArrayBuffer> => new Float32Array(size);

function storedTensor(checkpoint: Checkpoint, name: string): { readonly shape: readonly number[] } {
  const stored = checkpoint.tensors.get(name);
  if (stored === undefined) throw new Error(`internal: no parameter '${name}'`);
  return stored;
}

/** Reads tensors that agree in all sizes but the first into one. */
function readInto(
  checkpoint: Checkpoint,
  names: readonly string[],
  allocate: (size: number) => Float32Array,
): FloatTensor {
  const shapes = names.map((name) => storedTensor(checkpoint, name).shape);
  const data = allocate(shapes.reduce((sum, shape) => sum + sizeOf(shape), 0));
  let next = 0;
  for (const [i, name] of names.entries()) {
    const size = sizeOf(shapes[i]!);
    checkpoint.readInto(name, data.subarray(next, next + size));
    next += size;
  }
  return floats(data, joinedShape(shapes));
}

/** One tensor over parts that lie one after another. */
function joined(parts: readonly FloatTensor[]): FloatTensor {
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

function joinedShape(shapes: readonly (readonly number[])[]): readonly number[] {
  const [[, ...rest]] = shapes as [[number, ...number[]]];
  return shapes.length === 1 ? shapes[0]! : [shapes.reduce((sum, [size]) => sum + size!, 0), ...rest];
}
