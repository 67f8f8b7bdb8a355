/**
 * Fills in values that were left out, as ms-swift resolves its `None`s, and checks flags against each other.
 * The trainer and args.json get the results.
 */
import { existsSync, readFileSync } from 'node:fs';
import { findModel } from '../checkpoint/model_folder.ts';
import { messageOf, SightlineError } from '../errors.ts';
import { MAX_BATCH, type RolloutSizes, rolloutSizes } from '../grpo/batching.ts';
import { createSchedule, lrSchedulerTypes } from '../optim/schedule.ts';
import { type AdapterDefaults, withAdapterDefaults } from './adapter_defaults.ts';
import { checkColumns, checkDatasets, pathOf } from './dataset_paths.ts';
import type { exportFlags } from './export.ts';
import type { Faults } from './faults.ts';
import type { Values } from './flag.ts';
import type { inferFlags } from './infer.ts';
import type { Environment } from './parse.ts';
import { isFile, isFolder } from './paths.ts';
import type { rewardServerFlags } from './reward_server.ts';
import type { rlhfFlags } from './rlhf.ts';
import type { scoreFlags } from './score.ts';
import type { sftFlags } from './sft.ts';
import { checkAdapters, checkReference, checkTuner } from './tuner_checks.ts';

type Resolved<V, R> = Omit<V, keyof R> & Readonly<R>;
export type RewardOptions = Readonly<Record<string, unknown>>;
type AttnImpl = 'eager' | 'sdpa' | 'flash_attention_2';
type Strategy = 'no' | 'steps' | 'epoch';

/** Complete arguments of `sightline rlhf`. A value is null only if that means "none". */
export type RlhfArguments = Resolved<
  Values<typeof rlhfFlags>,
  RolloutSizes & {
    attnImpl: AttnImpl;
    modelDir: string;
    learningRate: number;
    beta: number;
    epsilonHigh: number;
    scaleRewards: 'group' | 'batch' | 'none';
    rewardWeights: readonly number[];
    perDeviceEvalBatchSize: number;
    numGenerationsEval: number;
    evalTemperature: number;
    numCompletionsToPrint: number;
    /** Values of the flags of registered rewards, by flag name. */
    rewardOptions: RewardOptions;
    evalStrategy: Strategy;
    evalSteps: number;
  }
>;

/** Complete arguments of `sightline sft`. */
export type SftArguments = Resolved<
  Values<typeof sftFlags>,
  {
    attnImpl: AttnImpl;
    modelDir: string;
    learningRate: number;
    gradientAccumulationSteps: number;
    perDeviceEvalBatchSize: number;
    evalStrategy: Strategy;
    evalSteps: number;
  }
>;

/** Complete arguments of `sightline infer`. A null prompt means a conversation. */
export type InferArguments = Resolved<Values<typeof inferFlags>, AdaptedModel>;

/** Complete arguments of `sightline score`. */
export type ScoreArguments = Resolved<Values<typeof scoreFlags>, AdaptedModel>;

/** Arguments of `sightline export`, complete. */
export type ExportArguments = Resolved<Values<typeof exportFlags>, { model: string; modelDir: string }>;

interface AdaptedModel {
  attnImpl: AttnImpl;
  model: string;
  modelDir: string;
  /** Names of arguments that the adapter's folder gave. */
  inherited: readonly string[];
}

export type RewardServerArguments = Values<typeof rewardServerFlags>;

/** @param processes number of processes, on all machines, that share a rollout */
export function resolveRlhf(
  values: Values<typeof rlhfFlags>,
  rewardOptions: RewardOptions,
  faults: Faults,
  env: Environment,
  processes = 1,
): RlhfArguments {
  checkTraining(values, faults);
  checkFiles('external_plugins', values.externalPlugins, faults);
  faults.check(
    ['reward_weights', 'reward_funcs'],
    values.rewardWeights === null || values.rewardWeights.length === values.rewardFuncs.length,
    `${values.rewardWeights?.length} weights for ${values.rewardFuncs.length} rewards (${values.rewardFuncs.join(', ')})`,
    'give one weight per reward, in the same order',
  );
  faults.check(
    ['reward_funcs'],
    new Set(values.rewardFuncs).size === values.rewardFuncs.length,
    `a reward is named twice: ${values.rewardFuncs.join(', ')}`,
    'name it once and raise its weight',
  );
  faults.check(
    ['report_to'],
    !values.reportTo.includes('none') || values.reportTo.length === 1,
    `none cannot be combined with other names: ${values.reportTo.join(' ')}`,
  );
  const { numGenerations, numGenerationsEval, numIterations, stepsPerGeneration: slices } = values;
  checkSizes(
    {
      num_generations: numGenerations,
      num_generations_eval: numGenerationsEval,
      num_iterations: numIterations,
      generation_batch_size: values.generationBatchSize,
      steps_per_generation: slices,
    },
    faults,
  );
  if (values.engine === 'sightline') checkReference(values, faults);
  const rollout = resolveGeneration(values, processes, faults);
  return {
    ...values,
    ...resolveTraining(values, faults, env),
    ...rollout,
    beta: values.beta ?? 0.04,
    epsilonHigh: values.epsilonHigh ?? values.epsilon,
    scaleRewards: values.scaleRewards ?? 'group',
    rewardWeights: values.rewardWeights ?? values.rewardFuncs.map(() => 1),
    numGenerationsEval: values.numGenerationsEval ?? values.numGenerations,
    evalTemperature: values.evalTemperature ?? values.temperature,
    numCompletionsToPrint: values.numCompletionsToPrint ?? values.numGenerations,
    rewardOptions,
  };
}

export function resolveSft(values: Values<typeof sftFlags>, faults: Faults, env: Environment): SftArguments {
  checkTraining(values, faults);
  return {
    ...values,
    ...resolveTraining(values, faults, env),
    gradientAccumulationSteps: values.gradientAccumulationSteps ?? Math.ceil(16 / values.perDeviceTrainBatchSize),
  };
}

export function resolveInfer(values: Values<typeof inferFlags>, faults: Faults, env: Environment): InferArguments {
  checkPixels(values, faults);
  checkAdapters(values, faults);
  checkFiles('image', values.image, faults);
  return { ...values, ...resolveAdapted(values, faults, env) };
}

export function resolveScore(values: Values<typeof scoreFlags>, faults: Faults, env: Environment): ScoreArguments {
  checkPixels(values, faults);
  checkAdapters(values, faults);
  checkDatasets('dataset', values.dataset, faults);
  checkColumns(values.columns, faults);
  checkSizes({ per_device_eval_batch_size: values.perDeviceEvalBatchSize }, faults);
  faults.check(
    ['output', 'dataset'],
    !values.dataset.map(pathOf).includes(values.output),
    `the file is also a --dataset: ${values.output}`,
    'write to another file',
  );
  faults.check(['output'], !isFolder(values.output), `is a folder: ${values.output}`, 'name a file');
  return { ...values, ...resolveAdapted(values, faults, env) };
}

export function resolveExport(values: Values<typeof exportFlags>, faults: Faults, env: Environment): ExportArguments {
  checkAdapters(values, faults);
  checkOutput(values.outputDir, faults);
  faults.check(['adapters'], values.adapters.length > 0, 'no adapter is given', 'write --adapters DIR');
  faults.check(
    ['merge_lora'],
    values.mergeLora,
    'there is nothing to export but a merged model',
    'set --merge_lora true',
  );
  const unset = { system: null, minPixels: null, maxPixels: null, attnImpl: null };
  const { model, modelDir } = resolveAdapted({ ...values, ...unset }, faults, env);
  return { ...values, model, modelDir };
}

export function resolveRewardServer(values: Values<typeof rewardServerFlags>, faults: Faults): RewardServerArguments {
  checkFiles('external_plugins', values.externalPlugins, faults);
  return values;
}

// --- internal ---

/** ms-swift's. */
const defaultRate = ({ tunerType }: Pick<TrainingValues, 'tunerType'>): number => (tunerType === 'full' ? 1e-5 : 1e-4);

type TrainingValues = Values<typeof rlhfFlags> | Values<typeof sftFlags>;

function resolveTraining(values: TrainingValues, faults: Faults, env: Environment) {
  const evaluates = values.valDataset.length > 0 || values.splitDatasetRatio > 0;
  return {
    ...resolveModel(values, faults, env),
    learningRate: values.learningRate ?? defaultRate(values),
    system: resolveSystem(values.system, faults),
    perDeviceEvalBatchSize: values.perDeviceEvalBatchSize ?? values.perDeviceTrainBatchSize,
    evalStrategy: evaluates ? (values.evalStrategy ?? values.saveStrategy) : ('no' as const),
    evalSteps: values.evalSteps ?? values.saveSteps,
  };
}

function checkTraining(values: TrainingValues, faults: Faults): void {
  checkPixels(values, faults);
  checkDatasets('dataset', values.dataset, faults);
  checkColumns(values.columns, faults);
  checkDatasets('val_dataset', values.valDataset, faults);
  checkOutput(values.outputDir, faults);
  checkSizes(
    {
      per_device_train_batch_size: values.perDeviceTrainBatchSize,
      per_device_eval_batch_size: values.perDeviceEvalBatchSize,
      gradient_accumulation_steps: values.gradientAccumulationSteps,
    },
    faults,
  );
  faults.check(
    ['warmup_steps', 'warmup_ratio'],
    values.warmupSteps === 0 || values.warmupRatio === 0,
    `given together with --warmup_ratio ${values.warmupRatio}`,
    'keep one of the two',
  );
  checkSchedule(values, faults);
  faults.check(
    ['max_steps'],
    values.maxSteps !== 0,
    'expected a number of steps above 0, got 0',
    'leave it out to train for --num_train_epochs',
  );
  faults.check(
    ['eval_strategy', 'val_dataset', 'split_dataset_ratio'],
    values.evalStrategy === null ||
      values.evalStrategy === 'no' ||
      values.valDataset.length > 0 ||
      values.splitDatasetRatio > 0,
    `${values.evalStrategy} needs evaluation rows, but there are none`,
    'give --val_dataset or --split_dataset_ratio',
  );
  // ms-swift has tuners and adapters that are none here, and checks them itself.
  if (!('engine' in values) || values.engine === 'sightline') checkTuner(values, faults);
}

/** The model, and what an adapter's folder says where flags do not. */
function resolveAdapted(
  given: AdapterDefaults & {
    readonly adapters: readonly string[];
    readonly modelRevision: string | null;
    readonly attnImpl: AttnImpl | null;
  },
  faults: Faults,
  env: Environment,
): AdaptedModel & Pick<AdapterDefaults, 'system' | 'minPixels' | 'maxPixels'> {
  const { values, inherited } = withAdapterDefaults(given, given.adapters);
  const { model, modelRevision, attnImpl, system, minPixels, maxPixels } = values;
  const why =
    given.adapters.length === 0
      ? 'the flag is required'
      : `the flag is required: ${given.adapters[0]} does not name the model it was made for`;
  faults.check(['model', 'adapters'], model !== null, why, 'write --model DIR|NAME');
  const found =
    model === null
      ? { modelDir: '', attnImpl: 'sdpa' as const }
      : resolveModel({ model, modelRevision, attnImpl }, faults, env);
  const ownSystem = inherited.includes('system') ? system : resolveSystem(system, faults);
  return { ...found, model: model ?? '', inherited, system: ownSystem, minPixels, maxPixels };
}

/** Adds `modelDir`, the checkpoint's folder, as ms-swift's `model_dir`. */
function resolveModel(
  values: { model: string; modelRevision: string | null; attnImpl: AttnImpl | null },
  faults: Faults,
  env: Environment,
): { modelDir: string; attnImpl: AttnImpl } {
  const found = findModel(values.model, values.modelRevision, env);
  if ('fault' in found) faults.check(['model', 'model_revision'], false, found.fault, found.fix);
  return { modelDir: 'dir' in found ? found.dir : values.model, attnImpl: values.attnImpl ?? 'sdpa' };
}

/** Checks the schedule's settings with one step, because the number of steps is not known yet. */
function checkSchedule(values: TrainingValues, faults: Faults): void {
  const { lrSchedulerType: type, lrSchedulerKwargs, learningRate } = values;
  if (!lrSchedulerTypes.includes(type)) return; // only ms-swift has it, and checks it
  try {
    const options = { type, learningRate: learningRate ?? defaultRate(values), kwargs: lrSchedulerKwargs ?? {} };
    createSchedule({ ...options, totalSteps: 1, warmupSteps: 0 });
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    faults.check(['lr_scheduler_kwargs', 'lr_scheduler_type', 'learning_rate'], false, error.message, error.hint);
  }
}

/** The sizes of a rollout. A fault of theirs is reported only if the flags that it depends on are valid. */
function resolveGeneration(values: Values<typeof rlhfFlags>, processes: number, faults: Faults): RolloutSizes {
  const perDeviceTrainBatchSize = values.perDeviceTrainBatchSize * processes;
  const { fault, ...sizes } = rolloutSizes({ ...values, perDeviceTrainBatchSize });
  const flags = [
    'generation_batch_size',
    'per_device_train_batch_size',
    'steps_per_generation',
    'gradient_accumulation_steps',
    'num_generations',
  ] as const;
  if (fault !== null) faults.check([fault.flag, ...flags], false, fault.message, fault.fix);
  return sizes;
}

const BYTE_ORDER_MARK = /^\ufeff/;

/**
 * A name ending in .txt must be an existing file; any other text may name one. In a text, `\n` typed as two characters
 * becomes a line break. In a file, a byte order mark is removed and line breaks become `\n`.
 */
function resolveSystem(system: string | null, faults: Faults): string | null {
  if (system === null) return null;
  const isFileName = system.endsWith('.txt') && !system.includes('\n');
  if (!isFileName && !(system.length < 1024 && isFile(system))) return system.replaceAll('\\n', '\n');
  try {
    return readFileSync(system, 'utf8').replace(BYTE_ORDER_MARK, '').replace(/\r\n?/g, '\n');
  } catch (error) {
    faults.add('--system', `the file cannot be read: ${system} (${messageOf(error)})`, 'check the path');
    return null;
  }
}

function checkPixels(values: { minPixels: number | null; maxPixels: number | null }, faults: Faults): void {
  const { minPixels, maxPixels } = values;
  faults.check(
    ['min_pixels', 'max_pixels'],
    minPixels === null || maxPixels === null || minPixels <= maxPixels,
    `${minPixels} is more than --max_pixels ${maxPixels}`,
  );
}

/** Refuses sizes so large that bookkeeping alone would fill the memory before the first completion. */
function checkSizes(sizes: Readonly<Record<string, number | null>>, faults: Faults): void {
  for (const [flag, size] of Object.entries(sizes)) {
    faults.check([flag], size === null || size <= MAX_BATCH, `expected at most ${MAX_BATCH}, got ${size}`);
  }
}

function checkFiles(flag: string, paths: readonly string[], faults: Faults): void {
  for (const path of paths) {
    if (isFile(path)) continue;
    if (/^\w+:\/\//.test(path)) {
      faults.check([flag], false, `is a URL, expected a file: ${path}`, 'download the file and give its path');
      continue;
    }
    const kind = isFolder(path) ? 'is a folder' : existsSync(path) ? 'is not a regular file' : 'no such file';
    faults.check([flag], false, `${kind}: ${path}`, kind === 'no such file' ? 'check the path' : 'give a regular file');
  }
}

function checkOutput(path: string, faults: Faults): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for control characters
  const control = /[\u0000-\u001f\u007f]/.test(path);
  faults.check(['output_dir'], !control, `has a line break or control character: ${JSON.stringify(path)}`);
  faults.check(
    ['output_dir'],
    !isFile(path),
    `is a file, not a folder: ${path}`,
    'give a folder, which need not exist yet',
  );
}
