/**
 * Reads folders of adapters as PEFT has them, adapter_config.json and adapter_model.safetensors.
 * Every spelling of tensor names in the wild is read; a tensor without a place in the model is an error, never passed over:
 * a loader that passes over them serves the base model under the adapter's name.
 */
import { join } from 'node:path';
import { readJsonFile } from '../checkpoint/json_file.ts';
import { treeName } from '../checkpoint/names.ts';
import { isWeightDtype, openSafetensors } from '../checkpoint/safetensors.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { type Adapter, adapterA, adapterB } from '../nn/adapter.ts';
import { type FloatTensor, floats, sizeOf } from '../runtime/tensor.ts';
import { sameSizes } from '../util/same_sizes.ts';
import { type AdapterConfig, parseAdapterConfig } from './config.ts';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, requireFiles } from './folder.ts';
import { type ModelModules, modulesOf, SPELLINGS } from './model_modules.ts';
import { type AdapterPlan, currentConfig } from './plan.ts';
import { COPY, placeOf } from './stored_names.ts';
import { adaptersOn, isAllLinear, savedTensors, targetedModules } from './targets.ts';

export interface StoredAdapter extends AdapterPlan {
  readonly dir: string;
  /**
   * Weights of the base model that PEFT saves beside an adapter of the head: canonical names. `readCopy` reads one; it has
   * to be the model's.
   */
  readonly copies: readonly string[];
  readCopy(name: string): Float32Array;
  /** Reads the tensors, by canonical name. Error: E_WEIGHT_NOT_FINITE. */
  read(): Map<string, FloatTensor>;
}

/**
 * Opens an adapter and checks it against a model: every tensor has its place and shape there, and every layer that the
 * configuration targets has its tensors.
 *
 * Errors: E_ADAPTER_MISSING, E_ADAPTER_CONFIG, E_ADAPTER_UNSUPPORTED, E_ADAPTER_TENSOR, E_ADAPTER_SHAPE, and those of
 * readJsonFile and openSafetensors.
 */
export function openAdapter(dir: string, model: ModelConfig): StoredAdapter {
  const configPath = join(dir, ADAPTER_CONFIG);
  const path = join(dir, ADAPTER_WEIGHTS);
  requireFiles(dir);
  const config = parseAdapterConfig(readJsonFile(configPath), configPath);
  const modules = modulesOf(model);
  return withFile(path, (file) => {
    const places = new Map<string, string>();
    for (const { name: stored, dtype } of file.entries.values()) {
      const place = placeOf(stored, path);
      const other = places.get(place);
      if (other !== undefined) throw badTensor(stored, `stands for the same weights as "${other}"`, path, config);
      if (!isWeightDtype(dtype)) throw badTensor(stored, `has dtype ${dtype}, expected F32, F16 or BF16`, path, config);
      places.set(place, stored);
    }
    const copies = [...places.keys()].filter((place) => place.startsWith(COPY));
    const copyOf = new Map(copies.map((place) => [place.slice(COPY.length), places.get(place)!]));
    for (const [name, stored] of copyOf) {
      places.delete(`${COPY}${name}`);
      if (!modules.tensors.has(name)) throw badTensor(stored, 'has no place in this model', path, config);
      const shape = file.entries.get(stored)!.shape;
      if (!sameSizes(shape, modules.tensors.get(name)!))
        throw wrongShape(stored, shape, modules.tensors.get(name)!, path, config);
    }
    const layers = layersOf(places, modules, path, config);
    const plan = fitting(config, layers, modules, configPath);
    for (const [place, stored] of places)
      requireShape(place, stored, plan, modules, file.entries.get(stored)!.shape, path);
    for (const tensor of plan.saved) {
      if (!places.has(tensor)) throw lacking(treeName(tensor), path);
    }
    return {
      ...plan,
      config: currentConfig(plan, modules),
      dir,
      copies: [...copyOf.keys()],
      readCopy: (name) => withFile(path, (again) => again.read(copyOf.get(name)!)),
      read: () =>
        withFile(path, (again) => {
          const layerTensors = Object.keys(plan.adapters).flatMap((layer) => [adapterA(layer), adapterB(layer)]);
          const tensorOf = (name: string): FloatTensor =>
            floats(again.read(places.get(name)!), shapeInMemory(name, plan, modules));
          return new Map([...layerTensors, ...plan.saved].map((name) => [name, tensorOf(name)]));
        }),
    };
  });
}

// --- internal ---

/** Opens a file of tensors for as long as `use` runs. */
function withFile<T>(path: string, use: (file: ReturnType<typeof openSafetensors>) => T): T {
  const file = openSafetensors(path);
  try {
    return use(file);
  } finally {
    file.close();
  }
}

/** Layers of which the file has tensors; each has both of its own. */
function layersOf(
  places: ReadonlyMap<string, string>,
  { layers, tensors }: ModelModules,
  path: string,
  config: AdapterConfig,
): string[] {
  const found = new Set<string>();
  for (const [place, stored] of places) {
    const layer = place.replace(/\.lora_[AB]\.weight$/, '');
    if (layer === place) {
      if (!tensors.has(place)) throw badTensor(stored, 'has no place in this model', path, config);
      continue;
    }
    if (!layers.has(layer)) throw badTensor(stored, 'adapts no linear layer of this model', path, config);
    for (const name of [adapterA(layer), adapterB(layer)]) if (!places.has(name)) throw lacking(treeName(name), path);
    found.add(layer);
  }
  return [...layers.keys()].filter((layer) => found.has(layer));
}

/** The plan by the spelling under which configuration and tensors agree. */
function fitting(config: AdapterConfig, layers: readonly string[], modules: ModelModules, where: string): AdapterPlan {
  const stated = SPELLINGS.map((spelling) => ({
    spelling,
    layers: targetedModules(config, modules, spelling, where).layers,
    saved: savedTensors(config.modulesToSave, modules, spelling),
  }));
  // PEFT's word for all linear layers says nothing of which were trained.
  const agrees = (named: readonly string[]): boolean =>
    isAllLinear(config.targetModules) ||
    (named.length === layers.length && named.every((name, i) => name === layers[i]));
  const fit = stated.find((each) => agrees(each.layers));
  if (fit !== undefined) {
    const adapters = adaptersOn(layers, config, modules, fit.spelling, where);
    return { config, adapters, saved: fit.saved };
  }
  const [nearest] = [...stated].sort((a, b) => b.layers.length - a.layers.length);
  const untold = layers.find((layer) => !nearest!.layers.includes(layer));
  const hint = 'configuration and tensors belong to different adapters, or to another model; fetch the folder again';
  if (untold !== undefined) {
    const message = `the file has tensors of ${treeName(untold)}, which target_modules does not name`;
    throw new SightlineError('E_ADAPTER_TENSOR', message, { where, hint });
  }
  const missing = nearest!.layers.find((layer) => !layers.includes(layer))!;
  throw new SightlineError(
    'E_ADAPTER_TENSOR',
    `target_modules names ${treeName(missing)}, of which there are no tensors`,
    {
      where,
      hint,
    },
  );
}

/** [rank, in] and [out, rank], whatever the file's axes are; of a whole tensor the model's own. */
function shapeInMemory(place: string, { adapters }: AdapterPlan, { tensors }: ModelModules): readonly number[] {
  const adapter = adapterOf(place, adapters);
  if (adapter === undefined) return tensors.get(place)!;
  return place.endsWith('.lora_A.weight') ? [adapter.rank, adapter.inner] : [adapter.out, adapter.rank];
}

const adapterOf = (place: string, adapters: AdapterPlan['adapters']): Adapter | undefined =>
  adapters[place.replace(/\.lora_[AB]\.weight$/, '')];

function requireShape(
  place: string,
  stored: string,
  plan: AdapterPlan,
  modules: ModelModules,
  shape: readonly number[],
  where: string,
): void {
  const isWhole = adapterOf(place, plan.adapters) === undefined;
  if (isWhole && !plan.saved.includes(place)) {
    throw new SightlineError('E_ADAPTER_TENSOR', `tensor "${stored}" is of no module that modules_to_save names`, {
      where,
      hint: 'configuration and tensors belong to different adapters; fetch the folder again',
    });
  }
  const expected = shapeInMemory(place, plan, modules);
  const agrees = isWhole ? sameSizes(shape, expected) : sizeOf(shape) === sizeOf(expected) && shape[0] === expected[0];
  if (!agrees) throw wrongShape(stored, shape, expected, where, plan.config);
}

function wrongShape(
  stored: string,
  shape: readonly number[],
  expected: readonly number[],
  where: string,
  { baseModel }: AdapterConfig,
): SightlineError {
  return new SightlineError('E_ADAPTER_SHAPE', `tensor "${stored}" has shape [${shape}], expected [${expected}]`, {
    where,
    hint: `the adapter was made for another model${baseModel === null ? '' : ` (${baseModel})`}, or its rank is another than r says`,
  });
}

function badTensor(stored: string, fault: string, where: string, { baseModel }: AdapterConfig): SightlineError {
  return new SightlineError('E_ADAPTER_TENSOR', `tensor "${stored}" ${fault}`, {
    where,
    hint:
      baseModel === null
        ? 'give the model that the adapter was made for to --model'
        : `the adapter was made for ${baseModel}; give that model to --model`,
  });
}

function lacking(name: string, where: string): SightlineError {
  return new SightlineError('E_ADAPTER_TENSOR', `there is no tensor of ${name}`, {
    where,
    hint: 'the adapter is not complete; fetch it again',
  });
}
