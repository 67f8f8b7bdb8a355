/**
 * The adapter of a policy, new or read from a folder, on top of frozen weights.
 * Knows plans and parameters of adapters, not how they are trained.
 */
import type { AdapterConfig } from '../adapters/config.ts';
import { type NewWeights, newAdapterTensors } from '../adapters/init.ts';
import { type AdapterPlan, planAdapter } from '../adapters/plan.ts';
import { openAdapter, type StoredAdapter } from '../adapters/read.ts';
import { treeName } from '../checkpoint/names.ts';
import { copiesOf, withHead, withOverlay } from '../engine/overlay.ts';
import type { Parameters } from '../engine/parameters.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { EMBEDDING, HEAD, partOf } from '../models/names.ts';
import { expectedTensors } from '../models/tensors.ts';
import { adapterShapes } from '../nn/adapter.ts';
import { type Device, here } from '../runtime/device.ts';
import type { FloatTensor } from '../runtime/tensor.ts';
import { createRandom } from '../util/random.ts';

/** The source of an adapter: a folder in PEFT's format, or settings with the seed of the first values. */
export type AdapterOptions = (
  | { readonly dir: string }
  | { readonly settings: (config: ModelConfig) => AdapterConfig; readonly init: NewWeights; readonly seed: number }
) & {
  /** A folder with the adapter of the reference model; null if the reference is the base model. */
  readonly reference?: string | null;
};

export interface PreparedAdapter {
  readonly plan: AdapterPlan;
  /** The adapter's tensors with their shapes, by canonical name. */
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Whether the adapter changes the vision tower or the merger. */
  readonly changesTower: boolean;
  readonly reference: PreparedAdapter | null;
  /** The parameters with the adapter, and the model's config, in which an adapter of the head or embedding unties the two. */
  putOn(
    store: Parameters,
    isTrained: (name: string) => boolean,
    device: Device,
  ): Promise<{ readonly config: ModelConfig; readonly parameters: Parameters }>;
}

/** Checks an adapter against a model. Errors: those of openAdapter and planAdapter. */
export function prepareAdapter(options: AdapterOptions, config: ModelConfig): PreparedAdapter {
  const reference = options.reference == null ? null : prepareAdapter({ dir: options.reference }, config);
  if ('dir' in options) {
    const stored: StoredAdapter = openAdapter(options.dir, config);
    return prepared(stored, config, reference, (store) => {
      for (const name of stored.copies)
        requireEqual(stored.readCopy(name), here(store.value(name)).data, name, stored.dir);
      return stored.read();
    });
  }
  const plan = planAdapter(options.settings(config), config);
  return prepared(plan, config, reference, () =>
    newAdapterTensors(plan.adapters, options.init, createRandom(options.seed).fork('adapter')),
  );
}

/** Refuses saved base weights that differ from this model's by more than the rounding to bfloat16. */
export function requireEqual(copy: Float32Array, own: Float32Array, name: string, dir: string): void {
  const at = own.findIndex((value, i) => Math.abs(value - copy[i]!) > 2 ** -8 * Math.abs(value));
  if (at < 0) return;
  throw new SightlineError(
    'E_ADAPTER_TENSOR',
    `the adapter holds its own weights of ${treeName(name)}, and they are not those of the model (element ${at}: ${copy[at]}, ${own[at]} in the model)`,
    { where: dir, hint: 'the adapter was made for another model; give that one to --model' },
  );
}

// --- internal ---

function prepared(
  plan: AdapterPlan,
  config: ModelConfig,
  reference: PreparedAdapter | null,
  valuesOn: (store: Parameters) => ReadonlyMap<string, FloatTensor>,
): PreparedAdapter {
  const shapes = expectedTensors(config);
  shapes.set(HEAD, shapes.get(EMBEDDING)!);
  const tensors = new Map(
    [
      ...Object.entries(plan.adapters).flatMap(([layer, adapter]) => Object.entries(adapterShapes(layer, adapter))),
      ...plan.saved.map((name) => [name, shapes.get(name)!] as const),
    ].map(([name, shape]) => [name, { shape }]),
  );
  // A copy of the embedding or of the head is a tensor of its own. As in PEFT, the two are no longer tied.
  const unties = config.text.tieWordEmbeddings && plan.saved.some((name) => name === EMBEDDING || name === HEAD);
  return {
    plan,
    tensors,
    changesTower: [...tensors.keys()].some((name) => partOf(name) !== 'llm'),
    reference,
    async putOn(store, isTrained, device) {
      const under = unties ? withHead(store) : store;
      const overlay = { adapters: plan.adapters, tensors: tensorsOver(under, plan.saved, valuesOn(withHead(store))) };
      return {
        config: unties ? { ...config, text: { ...config.text, tieWordEmbeddings: false } } : config,
        parameters: await withOverlay(under, overlay, (name) => tensors.has(name) && isTrained(name), device),
      };
    },
  };
}

/** The tensors of an overlay: those given, and copies of the store's for other tensors that are trained in full. */
function tensorsOver(
  store: Parameters,
  saved: readonly string[],
  values: ReadonlyMap<string, FloatTensor>,
): Map<string, FloatTensor> {
  const copies = copiesOf(store, saved);
  for (const [name, copy] of copies) {
    const value = values.get(name);
    if (value !== undefined) copy.data.set(value.data);
  }
  return new Map([...values, ...copies]);
}
