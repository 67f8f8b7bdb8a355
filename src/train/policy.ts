/**
 * Opens a checkpoint folder as a policy: checked weights, the model over them, and the template that feeds it.
 * Knows which parts are trained; nothing of rewards, losses or the loop.
 */
import type { AdapterPlan } from '../adapters/plan.ts';
import { HEAD } from '../checkpoint/head.ts';
import { withoutWrappers } from '../checkpoint/names.ts';
import { type Checkpoint, openCheckpoint } from '../checkpoint/open.ts';
import type { AlphaMode } from '../data/rgb.ts';
import type { Dropout } from '../engine/dropout.ts';
import { createModel, type VisionLanguageModel } from '../engine/model.ts';
import { loadParameters, type Parameters, STREAM_BYTES, streamParameters } from '../engine/parameters.ts';
import type { AttentionImplementation } from '../engine/text_attention.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { readConfig } from '../models/registry.ts';
import { validateShapes, withStoredHead } from '../models/tensors.ts';
import type { RuntimeOptions } from '../runtime/session.ts';
import { sizeOf } from '../runtime/tensor.ts';
import type { BoxFormat, NormBbox } from '../template/grounding.ts';
import { openTemplate, type Template, type TemplateOptions } from '../template/template.ts';
import type { Random } from '../util/random.ts';
import { type AdapterOptions, prepareAdapter } from './adapter.ts';
import type { ModelSummary } from './events.ts';
import { DEFAULT_FREEZE, type TrainedRule, trainedParameters } from './trained_parameters.ts';
import { adapterOptions, type TunerArguments, trainedRule } from './tuner.ts';

export interface PolicyOptions {
  /** Checkpoint folder. */
  readonly model: string;
  readonly attnImpl: AttentionImplementation;
  /** Whether weights change: no for inference and for a reference model, whatever `freeze` says. */
  readonly trainable: boolean;
  /** Null: where keeping would take too much memory. */
  readonly gradientCheckpointing?: boolean | null;
  /** What full training changes; with an adapter, nothing but that is trained. Default: the language model. */
  readonly trained?: TrainedRule;
  readonly adapter?: AdapterOptions | null;
  readonly template?: TemplateOptions;
  /** Keep the pixels of images, because they will be asked for again; default true. */
  readonly keepImages?: boolean;
  readonly runtime?: RuntimeOptions;
}

export interface Policy {
  readonly config: ModelConfig;
  readonly model: VisionLanguageModel;
  readonly parameters: Parameters;
  /** What it carries besides its weights. */
  readonly adapter: AdapterPlan | null;
  /** The model that an adapter is compared with, over the same weights: without it, or with `reference` of its options. */
  reference(): VisionLanguageModel;
  readonly template: Template;
  readonly summary: ModelSummary;
  /** The folder it came from, open for as long as the policy is: what a saved checkpoint is modelled on. */
  readonly source: Checkpoint;
  close(): Promise<void>;
}

/** A policy of which everything is known but its weights. */
export interface PreparedPolicy extends Pick<Policy, 'config' | 'template' | 'source'> {
  readonly options: PolicyOptions;
  readonly adapter: AdapterPlan | null;
  /** Tensors that the model has a use for, those of an adapter among them, by name. */
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Whether weights stay on disk and are read when they are used. */
  readonly streams: boolean;
  isTrained(name: string): boolean;
  /** Reads the weights; `onRead` gets how far that is, at most a few times a second. Error: E_WEIGHT_NOT_FINITE. */
  load(onRead?: (read: WeightsRead) => void | Promise<void>): Promise<Policy>;
  /** Once it is loaded, its policy's own. */
  close(): Promise<void>;
}

/** Bytes of weights, as they are stored. */
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
 * Opens and checks a checkpoint folder. Whatever is wrong with config, tensors, tokenizer or processor is told here, before
 * weights are read.
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
    runtime,
    keepImages = true,
  } = options;
  const source = openCheckpoint(dir);
  try {
    const stated = await readConfig(dir);
    const config = withStoredHead(stated, source);
    const { extra } = validateShapes(source, config);
    const template = await openTemplate(dir, config, {
      ...options.template,
      ...(keepImages ? {} : { imageCacheBytes: 0 }),
    });
    const used = { ...source, tensors: without(source.tensors, extra) };
    const widened = [...used.tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
    const streams = !trainable && widened >= STREAM_BYTES;
    const adapter = adapterOptions === null ? null : prepareAdapter(adapterOptions, config);
    const trains = adapter === null && trainable ? trainedParameters(trained, config) : null;
    const isTrained = (name: string): boolean =>
      trainable && (adapter === null ? trains!.has(name) : adapter.tensors.has(name));
    return {
      options,
      config,
      template,
      source,
      adapter: adapter?.plan ?? null,
      tensors: new Map([...used.tensors, ...(adapter?.tensors ?? [])]),
      streams,
      isTrained,
      async load(onRead) {
        const tell = onRead === undefined ? undefined : seldom(onRead);
        const ofStore = adapter === null ? isTrained : () => false;
        const store = streams ? await streamParameters(used, tell) : await loadParameters(used, ofStore, tell);
        const { config: own, parameters } = adapter?.putOn(store, isTrained) ?? { config, parameters: store };
        const modelOptions = { attnImpl, gradientCheckpointing, runtime };
        const model = createModel(own, parameters, modelOptions);
        let reference: VisionLanguageModel | null = null;
        return {
          config: own,
          model,
          parameters,
          adapter: adapter?.plan ?? null,
          reference() {
            const other = adapter?.reference?.putOn(store, () => false) ?? { config, parameters: store };
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
            ...summaryOf(dir, config.architecture.className, parameters),
            notes: notesOn(source, { stated, config, extra }),
          },
          async close() {
            source.close();
            await Promise.all([template.close(), model.release(), reference?.release()]);
          },
        };
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

/** What the commands' flags say about a policy; a null flag leaves the choice to the checkpoint. */
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
  readonly adapters: readonly string[];
}

/** The options of a command's policy, from its arguments; `tell` is told once of what was done to its images. */
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

/** Milliseconds between two words of how far reading is. */
const TELL_MS = 200;

/** Passes on the first word, the last one, and some between. */
function seldom(onRead: (read: WeightsRead) => void | Promise<void>): (read: WeightsRead) => Promise<void> {
  let last = Number.NEGATIVE_INFINITY;
  return async (read) => {
    const now = performance.now();
    if (read.done < read.total && now - last < TELL_MS) return;
    last = now;
    await onRead(read);
  };
}

/** Tensors the model has no use for, such as the stored copy of a tied head, are neither loaded nor trained. */
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

/** What the weights are that config.json or their names do not say. */
function notesOn(
  source: Checkpoint,
  { stated, config, extra }: { stated: ModelConfig; config: ModelConfig; extra: readonly string[] },
): string[] {
  const unused = extra.filter((name) => name !== HEAD && !COMPUTED.test(name));
  const wrapped = [...source.tensors.values()].find(({ storedName }) => withoutWrappers(storedName) !== storedName);
  const first = unused.slice(0, 3).join(', ');
  return [
    ...(stated.text.tieWordEmbeddings === config.text.tieWordEmbeddings
      ? []
      : [`config.json ties the head to the embedding, but another ${HEAD} is stored; the stored one is used`]),
    ...(wrapped === undefined ? [] : [`tensor names are read without their wrappers, e.g. ${wrapped.storedName}`]),
    ...(unused.length === 0
      ? []
      : [`${unused.length} tensors are not the model's and not used: ${first}${unused.length > 3 ? ', ...' : ''}`]),
  ];
}

/** Buffers that older versions of transformers saved, and every version computes anew. */
const COMPUTED = /(^|\.)(rotary_emb|rotary_pos_emb)\.(original_)?inv_freq$/;

function countOf(parameters: Parameters, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + sizeOf(parameters.shape(name)), 0);
}
