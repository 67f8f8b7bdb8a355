/**
 * The linear layers of a model, which can carry adapters, by canonical name; and its embedding tables, which cannot.
 * Derived from the tensors that the config names.
 */
import type { ModelConfig } from './architecture.ts';
import { EMBEDDING, HEAD, HEAD_LAYER } from './names.ts';
import { expectedTensors } from './tensors.ts';

/** A layer whose weight is a matrix [out, inner]. */
export interface LinearLayerSize {
  readonly name: string;
  readonly out: number;
  readonly inner: number;
  /** Sizes of a patch, where the weight is stored as that of a convolution: [channels, frames, rows, columns]. */
  readonly patch: readonly number[] | null;
}

/** In forward order; the head is the last of the language model, tied or not. */
export function linearLayers(config: ModelConfig): LinearLayerSize[] {
  const layers: LinearLayerSize[] = [];
  const tensors = new Map(expectedTensors(config));
  tensors.set(HEAD, [config.text.vocabSize, config.text.hiddenSize]);
  for (const [tensor, [out, ...rest]] of tensors) {
    if (!tensor.endsWith(WEIGHT) || rest.length === 0 || TABLES.has(tensor)) continue;
    const inner = rest.reduce((product, size) => product * size, 1);
    layers.push({ name: layerOfTensor(tensor), out: out!, inner, patch: rest.length === 1 ? null : rest });
  }
  return layers;
}

/** The modules of a model by canonical name: whatever has a tensor below it, at any depth. */
export function modulePaths(config: ModelConfig): Set<string> {
  const paths = new Set<string>([HEAD_LAYER]);
  for (const tensor of expectedTensors(config).keys()) {
    const parts = tensor.split('.');
    for (let count = 1; count < parts.length; count++) paths.add(parts.slice(0, count).join('.'));
  }
  return paths;
}

/** Modules that look rows up in a table. */
export const isTable = (layer: string): boolean => TABLES.has(`${layer}${WEIGHT}`);

// --- internal ---

const WEIGHT = '.weight';

/** Looked up, not multiplied. */
const TABLES: ReadonlySet<string> = new Set([EMBEDDING, 'visual.pos_embed.weight']);

const layerOfTensor = (tensor: string): string => tensor.slice(0, -WEIGHT.length);
