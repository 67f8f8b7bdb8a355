/**
 * The linear layers, modules and tensors of a model, and the two spellings of their names in adapter files.
 */
import { treeName } from '../checkpoint/names.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { type LinearLayerSize, linearLayers, modulePaths } from '../models/linear_layers.ts';
import { HEAD } from '../models/names.ts';
import { expectedTensors } from '../models/tensors.ts';

export interface ModelModules {
  /** By canonical name. */
  readonly layers: ReadonlyMap<string, LinearLayerSize>;
  readonly modules: ReadonlySet<string>;
  /** Tensors with their shapes. The head is among them, whether it is tied or not. */
  readonly tensors: ReadonlyMap<string, readonly number[]>;
}

export function modulesOf(config: ModelConfig): ModelModules {
  const head: [string, readonly number[]] = [HEAD, [config.text.vocabSize, config.text.hiddenSize]];
  return {
    layers: new Map(linearLayers(config).map((layer) => [layer.name, layer])),
    modules: modulePaths(config),
    tensors: new Map([...expectedTensors(config), head]),
  };
}

/** How a file spells the canonical name of a module or tensor. */
export type Spelling = (canonical: string) => string;

/** `current`: the names in transformers since 4.52. `former`: those before, which checkpoints still use. */
export const SPELLINGS: readonly [current: Spelling, former: Spelling] = [treeName, (canonical) => canonical];
