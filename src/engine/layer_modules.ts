/**
 * A module that several layers run, compiled for each kind of layer there is: by the adapters it carries, by what is trained in
 * it, and by the forms of its frozen weights. Layers of a kind share one.
 * Knows names of parameters; not what a module computes.
 */
import type { BackwardOptions, Module } from '../graph/module.ts';
import type { Dim } from '../graph/shape.ts';
import { type Adapters, adapted, adaptedLayer, adapterA } from '../nn/adapter.ts';
import { type CompiledModule, createModuleCache } from '../runtime/compiled_module.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Device, Feeds } from '../runtime/device.ts';
import type { HostWorkspace } from '../runtime/workspace.ts';
import { accumulatorsOf, type NameOf, readWeightsOf } from './bindings.ts';
import { type Dropout, dropoutMasks } from './dropout.ts';
import type { Parameters } from './parameters.ts';
import type { ResidentForm } from './resident_form.ts';
import { backwardInPieces, forwardInPieces, type RowTensors } from './row_chunks.ts';

export interface LayerModules {
  /** The module as the layer of these names has it. */
  of(nameOf: NameOf, dropout?: Dropout | null): CompiledModule;
  /** Whether it has parameters that are trained. */
  trains(nameOf: NameOf): boolean;
  /** The layer's forward, in pieces of its rows; `run` says whether results for backward are kept. */
  forward(
    nameOf: NameOf,
    feeds: RowTensors,
    into: RowTensors,
    options?: LayerRun & { readonly run?: 'forward' | 'forwardKeeping' },
  ): Promise<void>;
  /** Its backward, in pieces; weight gradients add up in their accumulators. */
  backward(
    nameOf: NameOf,
    feeds: RowTensors,
    into: RowTensors,
    options?: LayerRun & { readonly kept?: RowTensors | undefined },
  ): Promise<void>;
  release(): Promise<void>;
}

export interface LayerRun {
  /** Of the inputs of adapters; the same in forward and backward. */
  readonly dropout?: Dropout | null | undefined;
}

/** @param rows how many rows the module's linear layers have */
export function createLayerModules(
  module: Module,
  rows: Dim,
  parameters: Parameters,
  workspace: HostWorkspace,
  backwardOptions: Omit<BackwardOptions, 'trainable'> = {},
  device: Device = cpu,
): LayerModules {
  const modules = createModuleCache(device);
  const known = new Map<string, CompiledModule>();

  function of(nameOf: NameOf, dropout: Dropout | null = null): CompiledModule {
    const layer = `${dropout !== null} ${nameOf('')}`;
    const before = known.get(layer);
    if (before !== undefined) return before;
    const adapters = adaptersIn(module, parameters, nameOf);
    const forms = formsIn(module, parameters, nameOf);
    const own = { ...adapted(module, adapters, dropout === null ? null : rows), forms };
    const trainable = (param: string): boolean => parameters.isTrained(nameOf(param));
    const trained = Object.keys(own.params).filter(trainable);
    const kind = JSON.stringify([adapters, dropout !== null, trained, formKinds(forms)]);
    const compiled = modules.get(kind, () => own, { ...backwardOptions, trainable });
    known.set(layer, compiled);
    return compiled;
  }

  /** What the layer is fed besides its rows, and, row by row, masks of dropout. */
  async function bound(nameOf: NameOf, feeds: RowTensors, { dropout = null }: LayerRun) {
    const compiled = of(nameOf, dropout);
    const weights: Feeds = await readWeightsOf(compiled, parameters, nameOf);
    const masks = dropout === null ? {} : dropoutMasks(compiled.module, dropout, nameOf, rowsOf(feeds), workspace);
    return { compiled, weights, feeds: { ...feeds, ...masks } };
  }

  return {
    of,
    trains: (nameOf) => Object.keys(of(nameOf).module.params).some((param) => parameters.isTrained(nameOf(param))),
    async forward(nameOf, given, into, { run = 'forward', ...options } = {}) {
      const { compiled, weights, feeds } = await bound(nameOf, given, options);
      await forwardInPieces(compiled, run, weights, feeds, into);
    },
    async backward(nameOf, given, into, { kept, ...options } = {}) {
      const { compiled, weights, feeds } = await bound(nameOf, given, options);
      const gradients = accumulatorsOf(compiled, parameters, nameOf);
      await backwardInPieces(compiled, weights, gradients, feeds, into, kept);
    },
    release: () => modules.release(),
  };
}

/** The module as a layer of these names has it: with its adapters, and with the forms of its weights. */
export const asBound = (module: Module, parameters: Parameters, nameOf: NameOf): Module => ({
  ...adapted(module, adaptersIn(module, parameters, nameOf)),
  forms: formsIn(module, parameters, nameOf),
});

/** The adapters of a module's layers, by the layers' names in it. */
export function adaptersIn({ params }: Pick<Module, 'params'>, { adapters }: Parameters, nameOf: NameOf): Adapters {
  return Object.fromEntries(
    Object.keys(params).flatMap((param) => {
      const layer = param.replace(/\.weight$/, '');
      const adapter = layer === param ? undefined : adapters[adaptedLayer(nameOf(adapterA(layer)))];
      return adapter === undefined ? [] : [[layer, adapter]];
    }),
  );
}

/** Forms of a module's weights that a device keeps in another one than float32, by the weights' names in it. */
export function formsIn(
  { params }: Pick<Module, 'params'>,
  { resident }: Parameters,
  nameOf: NameOf,
): Record<string, ResidentForm> {
  return Object.fromEntries(
    Object.keys(params).flatMap((param) => {
      const form = resident?.(nameOf(param))?.form ?? null;
      return form === null ? [] : [[param, form]];
    }),
  );
}

/** Equal for weights that modules take in the same forms. */
export const formKinds = (forms: Readonly<Record<string, ResidentForm>>): [string, string][] =>
  Object.entries(forms).map(([param, { kind }]) => [param, kind]);

// --- internal ---

const rowsOf = (feeds: RowTensors): number => feeds.x!.dims[0]!;
