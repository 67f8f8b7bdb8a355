/**
 * Opens a checkpoint folder as a policy: checked weights, a model over them, and the template that encodes for it.
 * Knows which parts are trained, but no rewards, no losses and no loop.
 */
import type { AdapterPlan } from '../adapters/plan.ts';
import { HEAD } from '../checkpoint/head.ts';
import { withoutWrappers } from '../checkpoint/names.ts';
import { type Checkpoint, openCheckpoint } from '../checkpoint/open.ts';
import type { QuantBits } from '../checkpoint/quantised.ts';
import type { AlphaMode } from '../data/rgb.ts';
import type { Dropout } from '../engine/dropout.ts';
import { createModel, type VisionLanguageModel } from '../engine/model.ts';
import { loadParameters, type Parameters, STREAM_BYTES, streamParameters } from '../engine/parameters.ts';
import { residentOn } from '../engine/resident_weights.ts';
import { type SizedForm, sizedParameters } from '../engine/sized_parameters.ts';
import type { AttentionImplementation } from '../engine/text_attention.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { readConfig } from '../models/registry.ts';
import { validateShapes, withStoredHead } from '../models/tensors.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Device } from '../runtime/device.ts';
import { sizeOf } from '../runtime/tensor.ts';
import type { BoxFormat, NormBbox } from '../template/grounding.ts';
import { openTemplate, type Template, type TemplateOptions } from '../template/template.ts';
import type { Random } from '../util/random.ts';
import { type AdapterOptions, prepareAdapter } from './adapter.ts';
import type { ModelSummary } from './events.ts';
import { type FrozenOptions, frozenForm, readFrozen } from './frozen_weights.ts';
import { checkTensorSizes } from './tensor_sizes.ts';
import { DEFAULT_FREEZE, type TrainedRule, trainedParameters } from './trained_parameters.ts';
import { adapterOptions, type TunerArguments, trainedRule } from './tuner.ts';

export interface PolicyOptions {
  /** Checkpoint folder. */
  readonly model: string;
  readonly attnImpl: AttentionImplementation;
  /** Whether weights are trained. False for inference and for a reference, whatever `freeze` says. */
  readonly trainable: boolean;
  /** Whether blocks are computed again in backward; null: only where keeping their results takes too much memory. */
  readonly gradientCheckpointing?: boolean | null;
  /** What full training changes; with an adapter, nothing but that is trained. Default: the language model. */
  readonly trained?: TrainedRule;
  readonly adapter?: AdapterOptions | null;
  /**
   * How weights are kept that are not trained. Null: in float32, or, from 4 GiB on, on disk. Default: null, under an adapter that
   * is trained by their size.
   */
  readonly frozen?: FrozenOptions | null;
  readonly template?: TemplateOptions;
  /** The weights are changed in place, so they are read into memory, however large they are; default: `trainable`. */
  readonly movable?: boolean;
  /** Keep the pixels of images for the next time they are needed; default true. */
  readonly keepImages?: boolean;
  /** Where it runs; default: the CPU. */
  readonly device?: Device;
}

export interface Policy {
  /** The checked config.json. */
  readonly modelConfig: ModelConfig;
  readonly model: VisionLanguageModel;
  readonly parameters: Parameters;
  /** What it carries besides its weights. */
  readonly adapter: AdapterPlan | null;
  /** Whether sampling rounds activations, as products with quantised weights do, so that its rows are not those of a forward. */
  readonly samplesRounded: boolean;
  /** The model that an adapter is compared with, over the same weights: without it, or with `reference` of its options. */
  reference(): Promise<VisionLanguageModel>;
  readonly template: Template;
  readonly summary: ModelSummary;
  /** The folder that it was opened from. It stays open until the policy is closed; saved checkpoints follow its layout. */
  readonly source: Checkpoint;
  close(): Promise<void>;
}

/** A policy whose weights have not been read yet. */
export interface PreparedPolicy extends Pick<Policy, 'modelConfig' | 'template' | 'source'> {
  readonly options: PolicyOptions;
  readonly adapter: AdapterPlan | null;
  /** The tensors that the model uses, by name; those of an adapter included. */
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Whether weights stay on disk, to be read when they are used. */
  readonly streams: boolean;
  /** Bytes of frozen weights that are held in another form than float32; null if none are. */
  readonly heldBytes: number | null;
  isTrained(name: string): boolean;
  /** Reads the weights; calls `onRead` with the progress, at most a few times a second. Error: E_WEIGHT_NOT_FINITE. */
  load(onRead?: (read: WeightsRead) => void | Promise<void>): Promise<Policy>;
  /** The policy with weights that are zeros, on a device that only counts. Its model is released, and it is not closed. */
  sized(device: Device): Promise<Policy>;
  /** Closes what is open. Once it has been loaded, close the policy instead. */
  close(): Promise<void>;
}

/** Progress of reading weights, in bytes as they are stored. */
export interface WeightsRead {
  readonly done: number;
  readonly total: number;
}

/** Prepares and loads a policy. Errors: those of `preparePolicy` and of `load`. */
export async function openPolicy(options: PolicyOptions): Promise<Policy> {
  const prepared = await preparePolicy(options);
  try {
    return await prepared.load();
  } catch (error) {
    await prepared.close();
    throw error;
  }
}

/**
 * Opens and checks a checkpoint folder, without reading its weights. Faults of config, tensors, tokenizer and processor are
 * found here.
 *
 * Errors: those of openCheckpoint, readConfig, validateShapes and openTemplate.
 */
export async function preparePolicy(options: PolicyOptions): Promise<PreparedPolicy> {
  const {
    model: dir,
    attnImpl,
    trainable,
    gradientCheckpointing = null,
    trained = { freeze: DEFAULT_FREEZE },
    adapter: adapterOptions = null,
    frozen = trainable ? { quantBits: null, weightsMemory: null } : null,
    device = cpu,
    keepImages = true,
  } = options;
  const source = openCheckpoint(dir);
  try {
    const stated = await readConfig(dir);
    const modelConfig = withStoredHead(stated, source);
    const { extra } = validateShapes(source, modelConfig);
    const template = await openTemplate(dir, modelConfig, {
      ...options.template,
      ...(keepImages ? {} : { imageCacheBytes: 0 }),
    });
    const used = { ...source, tensors: without(source.tensors, extra) };
    const widened = [...used.tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
    const stays = trainable || options.movable === true;
    const isFrozen = trainable ? adapterOptions !== null : !stays;
    const form = isFrozen && frozen !== null ? frozenForm(used.tensors, frozen, dir) : null;
    const streams = form === null ? !stays && widened >= STREAM_BYTES : form.kind === 'disk';
    const adapter = adapterOptions === null ? null : prepareAdapter(adapterOptions, modelConfig);
    const trains = adapter === null && trainable ? trainedParameters(trained, modelConfig) : null;
    const isTrained = (name: string): boolean =>
      trainable && (adapter === null ? trains!.has(name) : adapter.tensors.has(name));
    const tensors = new Map([...used.tensors, ...(adapter?.tensors ?? [])]);
    checkTensorSizes(
      {
        tensors,
        changes: (name) => options.movable === true || isTrained(name),
        layersElsewhere: streams || form?.kind === 'held',
      },
      device,
      dir,
    );
    const ofStore = adapter === null ? isTrained : () => false;
    const changes = options.movable === true ? () => true : ofStore;
    const over = async (store: Parameters, on: Device): Promise<Policy> => {
      const adapted = (await adapter?.putOn(store, isTrained, on)) ?? { config: modelConfig, parameters: store };
      const { parameters } = adapted;
      const modelOptions = { attnImpl, gradientCheckpointing, device: on };
      const model = createModel(adapted.config, parameters, modelOptions);
      let reference: VisionLanguageModel | null = null;
      return {
        modelConfig: adapted.config,
        model,
        parameters,
        adapter: adapter?.plan ?? null,
        samplesRounded: form?.kind === 'held' && form.bits !== null && on.sharesMemory,
        async reference() {
          const base = { config: modelConfig, parameters: store };
          const other = (await adapter?.reference?.putOn(store, () => false, on)) ?? base;
          const sameTower = adapter === null || !(adapter.changesTower || adapter.reference?.changesTower);
          reference ??= createModel(other.config, other.parameters, {
            ...modelOptions,
            ...(sameTower ? { images: model.images } : {}),
          });
          return reference;
        },
        template,
        source,
        summary: {
          ...summaryOf(dir, modelConfig.architecture.className, parameters),
          notes: [
            ...notesOn(source, { stated, modelConfig, extra }),
            ...(form?.kind === 'held' && form.bits === null ? notesOnWords(on, widened) : []),
          ],
        },
        async close() {
          source.close();
          await Promise.all([template.close(), model.release(), reference?.release()]);
        },
      };
    };
    return {
      options,
      modelConfig,
      template,
      source,
      adapter: adapter?.plan ?? null,
      tensors,
      streams,
      heldBytes: form?.kind === 'held' ? form.bytes : null,
      isTrained,
      async load(onRead) {
        const tell = onRead === undefined ? undefined : seldom(onRead);
        const whole = () =>
          streams ? streamParameters(used, tell) : loadParameters(used, ofStore, { onRead: tell, device, changes });
        const read = await (form === null ? whole() : readFrozen(used, form, { onRead: tell, device }));
        return over(residentOn(read, device), device);
      },
      async sized(on) {
        const kept: SizedForm = form ?? { kind: streams ? 'disk' : 'float32' };
        const sized = await sizedParameters(used.tensors, ofStore, { form: kept, device: on, changes });
        return over(residentOn(sized, on), on);
      },
      async close() {
        source.close();
        await template.close();
      },
    };
  } catch (error) {
    source.close();
    throw error;
  }
}

/** Flags of the commands that concern a policy. Where a flag is null, the checkpoint decides. */
export interface PolicyArguments extends Partial<TunerArguments> {
  readonly modelDir: string;
  readonly attnImpl: AttentionImplementation;
  readonly minPixels: number | null;
  readonly maxPixels: number | null;
  readonly imageAlpha: AlphaMode;
  readonly system: string | null;
  readonly maxLength?: number | null;
  readonly normBbox?: NormBbox | null;
  readonly qwenvlBboxFormat?: BoxFormat;
  readonly gradientCheckpointing?: boolean | null;
  readonly quantBits?: number | null;
  readonly weightsMemory?: number | null;
  readonly adapters: readonly string[];
}

/** Policy options from a command's arguments. @param tell called once, if images are changed: see `TemplateOptions` */
export function policyOptions(
  args: PolicyArguments,
  trainable: boolean,
  tell?: TemplateOptions['tell'],
): PolicyOptions {
  return {
    model: args.modelDir,
    attnImpl: args.attnImpl,
    trainable,
    gradientCheckpointing: args.gradientCheckpointing,
    trained: trainedRule(args),
    adapter: adapterOptions(args),
    frozen: {
      quantBits: (args.quantBits ?? null) as QuantBits | null,
      weightsMemory: args.weightsMemory == null ? null : args.weightsMemory * 2 ** 30,
    },
    template: {
      minPixels: args.minPixels ?? undefined,
      maxPixels: args.maxPixels ?? undefined,
      imageAlpha: args.imageAlpha,
      tell,
      system: args.system ?? undefined,
      maxLength: args.maxLength ?? undefined,
      normBbox: args.normBbox ?? undefined,
      boxFormat: args.qwenvlBboxFormat,
    },
  };
}

/** Dropout of a policy's adapters in training. */
export const dropoutRate = ({ adapter }: Pick<Policy, 'adapter'>): number => adapter?.config.dropout ?? 0;

/** Dropout of one forward, which `label` names among those of the stream; null without any. */
export function dropoutOf(policy: Pick<Policy, 'adapter'>, random: Random, label: string): Dropout | null {
  const rate = dropoutRate(policy);
  return rate === 0 ? null : { rate, random: random.fork(`dropout ${label}`) };
}

// --- internal ---

/** Milliseconds between two reports of progress. */
const TELL_MS = 200;

/** Passes on the first report, the last one, and some between. */
function seldom(onRead: (read: WeightsRead) => void | Promise<void>): (read: WeightsRead) => Promise<void> {
  let last = Number.NEGATIVE_INFINITY;
  return async (read) => {
    const now = performance.now();
    if (read.done < read.total && now - last < TELL_MS) return;
    last = now;
    await onRead(read);
  };
}

/** The tensors without these names. A stored copy of a tied head, for example, is neither loaded nor trained. */
function without<T>(tensors: ReadonlyMap<string, T>, names: readonly string[]): Map<string, T> {
  const left = new Map(tensors);
  for (const name of names) left.delete(name);
  return left;
}

function summaryOf(dir: string, architecture: string, parameters: Parameters): ModelSummary {
  return {
    dir,
    architecture,
    parameters: countOf(parameters, parameters.names),
    trainable: countOf(parameters, parameters.trained),
  };
}

/** Notes on weights that differ from what config.json or the usual names would suggest. */
function notesOn(
  source: Checkpoint,
  { stated, modelConfig, extra }: { stated: ModelConfig; modelConfig: ModelConfig; extra: readonly string[] },
): string[] {
  const unused = extra.filter((name) => name !== HEAD && !COMPUTED.test(name));
  const wrapped = [...source.tensors.values()].find(({ storedName }) => withoutWrappers(storedName) !== storedName);
  const first = unused.slice(0, 3).join(', ');
  return [
    ...(stated.text.tieWordEmbeddings === modelConfig.text.tieWordEmbeddings
      ? []
      : [`config.json ties the head to the embedding, but another ${HEAD} is stored; the stored one is used`]),
    ...(wrapped === undefined ? [] : [`tensor names are read without their wrappers, e.g. ${wrapped.storedName}`]),
    ...(unused.length === 0
      ? []
      : [`${unused.length} tensors are not the model's and not used: ${first}${unused.length > 3 ? ', ...' : ''}`]),
  ];
}

/** What a device does that cannot widen weights of 16 bits. @param float32 bytes of all weights in float32 */
function notesOnWords({ name, sharesMemory, kernels }: Device, float32: number): string[] {
  if (sharesMemory || kernels.float16) return [];
  const gib = (float32 / 2 ** 30).toFixed(1);
  return [
    `${name}: the graphics processor does not compute with 16 bits, so the weights take ${gib} GiB of its memory, in float32; with --quant_bits 8 they take about a quarter of it`,
  ];
}

/** Buffers that older versions of transformers saved, although every version computes them anew. */
const COMPUTED = /(^|\.)(rotary_emb|rotary_pos_emb)\.(original_)?inv_freq$/;

function countOf(parameters: Parameters, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + sizeOf(parameters.shape(name)), 0);
}
