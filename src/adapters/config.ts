/**
 * Reads and writes PEFT's adapter_config.json. Options that are not supported are refused by name.
 * Follows peft 0.20; keys that older versions lack may be absent. Knows no model.
 */
import { SightlineError } from '../errors.ts';
import { describe, isJsonObject, type JsonObject, shownJson } from '../util/json.ts';

/** Which modules are adapted, in PEFT's terms. */
export interface TargetRule {
  /** A pattern for the whole path of a module, or a list of names, each the end of a path. */
  readonly targetModules: string | readonly string[];
  readonly excludeModules: string | readonly string[] | null;
  /** Modules whose weights are trained and saved in full. */
  readonly modulesToSave: readonly string[];
  /** The numbers of the adapted layers. Only allowed with a list of names. */
  readonly layersToTransform: readonly number[] | null;
  readonly layersPattern: readonly string[];
}

export interface AdapterConfig extends TargetRule {
  readonly rank: number;
  readonly alpha: number;
  /** Dropout of the adapters' inputs during training. */
  readonly dropout: number;
  /** Scale by alpha / sqrt(rank) (Kalajdzievski 2023) instead of alpha / rank. */
  readonly rslora: boolean;
  /** Ranks and alphas of the modules whose path ends in a match of the key, which is a pattern. */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  readonly initWeights: InitWeights;
  /** The base model, as the author of the adapter named it. */
  readonly baseModel: string | null;
}

/** First values: A uniform and B zero; A normal and B zero; both random. PEFT's other ways are not supported. */
export type InitWeights = true | false | 'gaussian' | 'orthogonal' | 'eva';

/**
 * Reads a parsed adapter_config.json.
 *
 * @param where the file, for errors
 * Errors: E_ADAPTER_CONFIG (a field has an impossible value), E_ADAPTER_UNSUPPORTED (an option is not supported).
 */
export function parseAdapterConfig(json: JsonObject, where: string): AdapterConfig {
  const fail = (field: string, expected: string): never => {
    throw new SightlineError('E_ADAPTER_CONFIG', `field ${field} is ${describe(json[field])}, expected ${expected}`, {
      where,
      hint: 'the file is not one that PEFT writes for LoRA; save the adapter again with save_pretrained()',
    });
  };
  refuseUnsupported(json, where);
  const number = (field: string, isPossible: (value: number) => boolean, expected: string, absent: number): number => {
    const value = json[field] ?? absent;
    return typeof value === 'number' && isPossible(value) ? value : fail(field, expected);
  };
  const flag = (field: string): boolean => {
    const value = json[field] ?? false;
    return typeof value === 'boolean' ? value : fail(field, 'true or false');
  };
  const names = (field: string): string | readonly string[] | null => {
    const value = json[field] ?? null;
    if (value === null || typeof value === 'string' || isTextList(value)) return value;
    return fail(field, 'a text or a list of texts');
  };
  const list = (field: string): readonly string[] => {
    const value = names(field) ?? [];
    return typeof value === 'string' ? [value] : value;
  };
  const pattern = (field: string): Readonly<Record<string, number>> => {
    const value = json[field] ?? {};
    const isPattern = isJsonObject(value) && Object.values(value).every((each) => typeof each === 'number' && each > 0);
    return isPattern ? (value as Record<string, number>) : fail(field, 'an object of positive numbers');
  };
  const layers = json.layers_to_transform ?? null;
  const isLayers = typeof layers === 'number' || (Array.isArray(layers) && layers.every(Number.isSafeInteger));
  if (layers !== null && !isLayers) fail('layers_to_transform', 'a number or a list of numbers');
  const layerList = typeof layers === 'number' ? [layers] : (layers as number[] | null);
  return {
    rank: number('r', (r) => Number.isSafeInteger(r) && r > 0, 'a whole number above 0', 8),
    alpha: number('lora_alpha', (alpha) => Number.isFinite(alpha) && alpha > 0, 'a number above 0', 8),
    dropout: number('lora_dropout', (rate) => rate >= 0 && rate < 1, 'a number from 0 to below 1', 0),
    rslora: flag('use_rslora'),
    targetModules: names('target_modules') ?? fail('target_modules', 'a text or a list of texts'),
    excludeModules: names('exclude_modules'),
    modulesToSave: list('modules_to_save'),
    layersToTransform: layerList === null || layerList.length === 0 ? null : layerList,
    layersPattern: list('layers_pattern'),
    rankPattern: pattern('rank_pattern'),
    alphaPattern: pattern('alpha_pattern'),
    initWeights: initWeightsOf(json.init_lora_weights ?? true, where),
    baseModel: typeof json.base_model_name_or_path === 'string' ? json.base_model_name_or_path : null,
  };
}

/** The content of the file as peft 0.20 writes it: all keys, sorted. */
export function adapterConfigJson(config: AdapterConfig): JsonObject {
  const own: JsonObject = {
    r: config.rank,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    use_rslora: config.rslora,
    target_modules: config.targetModules,
    exclude_modules: config.excludeModules,
    modules_to_save: config.modulesToSave.length === 0 ? null : config.modulesToSave,
    layers_to_transform: config.layersToTransform,
    layers_pattern: config.layersPattern.length === 0 ? null : config.layersPattern,
    rank_pattern: config.rankPattern,
    alpha_pattern: config.alphaPattern,
    init_lora_weights: config.initWeights,
    base_model_name_or_path: config.baseModel,
  };
  const whole: JsonObject = { ...PEFT_KEYS, ...own };
  return Object.fromEntries(Object.entries(whole).sort(([a], [b]) => (a < b ? -1 : 1)));
}

// --- internal ---

/** Keys that sightline does not use, with the values that PEFT writes. */
const PEFT_KEYS: JsonObject = {
  alora_invocation_tokens: null,
  arrow_config: null,
  auto_mapping: null,
  bias: 'none',
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  fan_in_fan_out: false,
  inference_mode: true,
  layer_replication: null,
  loftq_config: {},
  lora_bias: false,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: 'megatron.core',
  monteclora_config: null,
  peft_type: 'LORA',
  peft_version: '0.20.0',
  qalora_group_size: 16,
  revision: null,
  target_parameters: null,
  task_type: 'CAUSAL_LM',
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  velora_config: null,
};

/** Keys that are read, and keys whose value does not change what an adapter computes. */
const HANDLED: ReadonlySet<string> = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'revision',
  'inference_mode',
  'peft_version',
  'peft_type',
  'megatron_core',
  'qalora_group_size',
  'eva_config',
  'runtime_config',
  'r',
  'lora_alpha',
  'lora_dropout',
  'use_rslora',
  'target_modules',
  'exclude_modules',
  'modules_to_save',
  'layers_to_transform',
  'layers_pattern',
  'rank_pattern',
  'alpha_pattern',
  'init_lora_weights',
]);

/** Values of other keys with which an adapter is still plain LoRA. */
const PLAIN: Readonly<Record<string, readonly unknown[]>> = {
  bias: ['none'],
  task_type: ['CAUSAL_LM', 'FEATURE_EXTRACTION', 'SEQ_2_SEQ_LM'],
};

function refuseUnsupported(json: JsonObject, where: string): void {
  const refuse = (message: string): never => {
    throw new SightlineError('E_ADAPTER_UNSUPPORTED', message, { where, hint: MERGE });
  };
  const type = json.peft_type ?? 'LORA';
  if (type !== 'LORA') refuse(`peft_type is ${shownJson(type, 40)}, expected "LORA": no other kind of adapter is read`);
  for (const [key, value] of Object.entries(json)) {
    if (HANDLED.has(key) || isOff(value) || PLAIN[key]?.includes(value)) continue;
    refuse(
      `the adapter uses ${shownJson(key, 60)}: ${shownJson(value, 60)}, which is not done here: plain LoRA is read`,
    );
  }
}

const MERGE =
  'merge it with what made it (merge_and_unload() of PEFT, then save_pretrained()) and give the result to --model';

/** null, false, and empty lists, objects and texts. */
const isOff = (value: unknown): boolean =>
  value === null || value === false || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);

const isTextList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');

/** Initialisations that change the weights of the base model. Such an adapter cannot be read, because its files do not hold the changed weights. */
function initWeightsOf(value: unknown, where: string): InitWeights {
  const known: readonly unknown[] = [true, false, 'gaussian', 'orthogonal', 'eva'];
  if (known.includes(value)) return value as InitWeights;
  throw new SightlineError(
    'E_ADAPTER_UNSUPPORTED',
    `init_lora_weights is ${shownJson(value, 40)}: it changes the weights of the base model, and the adapter alone does not tell how`,
    { where, hint: MERGE },
  );
}
