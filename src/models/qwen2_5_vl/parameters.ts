/**
 * The model's tensors by canonical name: values, and gradient accumulators of those that are trained.
 * Knows names and memory; not what a tensor is for.
 */
import type { Checkpoint } from '../../checkpoint/open.ts';
import { type FloatTensor, floats, sizeOf, zeros } from '../../runtime/tensor.ts';
import { createPause } from '../../util/pauses.ts';

export interface Parameters {
  readonly names: readonly string[];
  /** Whether a value stays where it is: the same array every time, changed in place by training. */
  readonly inMemory: boolean;
  value(name: string): FloatTensor;
  isTrained(name: string): boolean;
  /** Accumulator of a trained parameter's gradient; allocated on first use. */
  gradient(name: string): FloatTensor;
  zeroGradients(): void;
  /** Trained names, in a fixed order. */
  readonly trained: readonly string[];
  shape(name: string): readonly number[];
}

/** Reads every tensor of a checkpoint, widened to float32; the event loop gets its turns meanwhile. */
export async function loadParameters(
  checkpoint: Checkpoint,
  isTrained: (name: string) => boolean,
): Promise<Parameters> {
  return parametersOf(await readAll(checkpoint, [...checkpoint.tensors.keys()]), isTrained);
}

/** float32 bytes of a checkpoint from which frozen weights are widened when they are used instead of at once. */
export const STREAM_BYTES = 4 * 2 ** 30;

/**
 * Frozen weights that stay on disk as they are stored: a layer's tensors are read and widened into buffers that all
 * layers share, when the layer runs. Tensors of no layer (embeddings, norms, merger) are read once and kept.
 * A tensor is valid until the same tensor of another layer is asked for. The checkpoint must stay open.
 */
export async function streamParameters(checkpoint: Checkpoint): Promise<Parameters> {
  const kept = await readAll(
    checkpoint,
    [...checkpoint.tensors.keys()].filter((name) => roleOf(name) === name),
  );
  const shared = new Map<string, { holds: string; tensor: FloatTensor }>();
  const read = (name: string, buffer?: Float32Array): FloatTensor => {
    const stored = checkpoint.tensors.get(name);
    if (stored === undefined) throw new Error(`internal: no parameter '${name}'`);
    const size = sizeOf(stored.shape);
    const data = buffer?.length === size ? buffer : new Float32Array(size);
    checkpoint.readInto(name, data);
    return floats(data, stored.shape);
  };
  return {
    names: [...checkpoint.tensors.keys()],
    inMemory: false,
    trained: [],
    isTrained: () => false,
    shape: (name) => checkpoint.tensors.get(name)?.shape ?? [],
    value(name) {
      const known = kept.get(name);
      if (known !== undefined) return known;
      const role = roleOf(name);
      const slot = shared.get(role);
      if (slot?.holds === name) return slot.tensor;
      const tensor = read(name, slot?.tensor.data);
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
    if (tensor === undefined) throw new Error(`internal: no parameter '${name}'`);
    return tensor;
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

/** What layers have in common: `model.layers.3.x` -> `model.layers.*.x`; a tensor of no layer is its own role. */
const roleOf = (name: string): string => name.replace(/\.(layers|blocks)\.\d+\./, '.$1.*.');

/** Elements read at a time: some 10 ms. */
const READ_ELEMENTS = 2 ** 22;

/** Reads tensors piece by piece, so that the event loop gets its turns. */
async function readAll(checkpoint: Checkpoint, names: readonly string[]): Promise<Map<string, FloatTensor>> {
  const pause = createPause();
  const values = new Map<string, FloatTensor>();
  for (const name of names) {
    const tensor = zeros(...checkpoint.tensors.get(name)!.shape);
    for (let from = 0; from < tensor.data.length; from += READ_ELEMENTS) {
      await pause();
      checkpoint.readInto(name, tensor.data.subarray(from, from + READ_ELEMENTS), from);
    }
    values.set(name, tensor);
  }
  return values;
}
