/**
 * Folders of adapters as PEFT has them, adapter_config.json and adapter_model.safetensors, read and written.
 * Every spelling of tensor names in the wild is read; a tensor without a place in the model is an error, never passed over:
 * a loader that passes over them serves the base model under the adapter's name.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesOf } from '../checkpoint/dtypes.ts';
import { readJsonFile } from '../checkpoint/json_file.ts';
import { canonicalName, treeName } from '../checkpoint/names.ts';
import { isWeightDtype, openSafetensors, type TensorToWrite, writeSafetensors } from '../checkpoint/safetensors.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { type Adapter, adapterA, adapterB } from '../nn/adapter.ts';
import { type FloatTensor, floats, sizeOf } from '../runtime/tensor.ts';
import { sameSizes } from '../util/same_sizes.ts';
import { type AdapterConfig, adapterConfigJson, parseAdapterConfig } from './config.ts';
import { type ModelModules, modulesOf, SPELLINGS } from './model_modules.ts';
import { type AdapterPlan, currentConfig } from './plan.ts';
import { adaptersOn, isAllLinear, savedTensors, targetedModules } from './targets.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

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

/**
 * Writes an adapter's files into a folder, as PEFT does and, in additional_config.json, ms-swift.
 *
 * @param valuesOf a tensor's values by canonical name
 */
export async function writeAdapter(
  folder: string,
  { config, adapters, saved }: AdapterPlan,
  model: ModelConfig,
  valuesOf: (name: string) => Float32Array,
  { lorapLrRatio = null }: { readonly lorapLrRatio?: number | null } = {},
): Promise<void> {
  const { layers, tensors } = modulesOf(model);
  const toWrite: TensorToWrite[] = [
    ...Object.entries(adapters).flatMap(([layer, { rank, out, inner }]) => {
      const patch = layers.get(layer)!.patch;
      const ones = patch === null ? [] : patch.slice(1).map(() => 1);
      return [
        float32(storedName(adapterA(layer)), [rank, ...(patch ?? [inner])], valuesOf(adapterA(layer))),
        float32(storedName(adapterB(layer)), [out, rank, ...ones], valuesOf(adapterB(layer))),
      ];
    }),
    ...saved.map((name) => float32(storedName(name), tensors.get(name)!, valuesOf(name))),
  ];
  await writeFile(join(folder, ADAPTER_CONFIG), JSON.stringify(adapterConfigJson(config), null, 2));
  await writeSafetensors(join(folder, ADAPTER_WEIGHTS), toWrite);
  const additional = { lora_dtype: null, lorap_lr_ratio: lorapLrRatio, lorap_emb_lr: 1e-6 };
  await writeFile(join(folder, 'additional_config.json'), JSON.stringify(additional));
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

const storedName = (canonical: string): string => `base_model.model.${treeName(canonical)}`;

/** The canonical name of a stored tensor. Error: E_ADAPTER_UNSUPPORTED, of tensors of other kinds of adapter. */
function placeOf(stored: string, path: string): string {
  const [, layer, kind] = /^(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(stored) ?? [];
  if (layer !== undefined) return kind === 'A' ? adapterA(canonicalName(layer)) : adapterB(canonicalName(layer));
  const [, base] = /^(.+)\.base_layer\.weight$/.exec(stored) ?? [];
  if (base !== undefined) return `${COPY}${canonicalName(base)}.weight`;
  if (OTHER_KINDS.test(stored)) {
    throw new SightlineError(
      'E_ADAPTER_UNSUPPORTED',
      `tensor "${stored}" belongs to an adapter of a kind that is not done here: plain LoRA of linear layers is read`,
      { where: path, hint: 'merge it with what made it, and give the result to --model' },
    );
  }
  return canonicalName(stored.replace(/\.modules_to_save(\.default)?\./, '.'));
}

/** Before the name of a weight of the base model. */
const COPY = 'base of ';

/** DoRA, embeddings, biases of LoRA, trainable tokens, and whatever else begins as LoRA does. */
const OTHER_KINDS = /\.(lora_[^.]*|token_adapter|base_layer|original_module|ia3_l|hada_w\d_\w|vera_lambda_\w)(\.|$)/;

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

function requireFiles(dir: string): void {
  const missing = (message: string, hint: string): SightlineError =>
    new SightlineError('E_ADAPTER_MISSING', message, { where: dir, hint });
  if (!existsSync(dir))
    throw missing('adapter folder not found', 'check the path; give a folder that is on this machine');
  if (!statSync(dir).isDirectory()) throw missing('a file, not a folder', 'give the folder it lies in');
  if (!existsSync(join(dir, ADAPTER_CONFIG))) {
    const runs = readdirSync(dir).filter((name) => /^checkpoint-\d+$/.test(name));
    const last = runs.sort((a, b) => stepOf(a) - stepOf(b)).at(-1);
    if (last !== undefined)
      throw missing(`no ${ADAPTER_CONFIG} in the folder`, `give a checkpoint in it: ${join(dir, last)}`);
    const isModel = existsSync(join(dir, 'config.json'));
    throw missing(
      `no ${ADAPTER_CONFIG} in the folder`,
      isModel ? 'it holds a whole model: give it to --model' : `give the folder that holds ${ADAPTER_CONFIG}`,
    );
  }
  if (existsSync(join(dir, ADAPTER_WEIGHTS))) return;
  const pickled = existsSync(join(dir, 'adapter_model.bin'));
  throw missing(
    `no ${ADAPTER_WEIGHTS} in the folder`,
    pickled
      ? 'adapter_model.bin cannot be read: load the adapter with PEFT and save it again, which writes safetensors'
      : 'the adapter is not complete; fetch it again',
  );
}

const stepOf = (name: string): number => Number(name.slice('checkpoint-'.length));

/** Error: E_WEIGHT_NOT_FINITE. */
function float32(name: string, shape: readonly number[], data: Float32Array): TensorToWrite {
  const wrong = data.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) {
    throw new SightlineError('E_WEIGHT_NOT_FINITE', `tensor "${name}" holds ${wrong}`, {
      hint: 'training has diverged; go back to an earlier checkpoint',
      exitCode: 1,
    });
  }
  return {
    name,
    dtype: 'F32',
    shape,
    *chunks() {
      yield bytesOf(data);
    },
  };
}
