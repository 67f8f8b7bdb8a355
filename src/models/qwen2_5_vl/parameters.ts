/**
 * The model's tensors by canonical name: values, and gradient accumulators of those that are trained.
 * Knows names and memory; not what a tensor is for.
 */
import type { Checkpoint } from '../../checkpoint/open.ts';
import { type FloatTensor, floats, zeros } from '../../runtime/tensor.ts';

export interface Parameters {
  readonly names: readonly string[];
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
  for (const [name, { shape }] of checkpoint.tensors) values.set(name, floats(checkpoint.read(name), shape));
  return parametersOf(values, isTrained);
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
