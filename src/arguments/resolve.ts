/**
 * Fills in values that were left out, as ms-swift resolves its `None`s. The trainer and args.json get the results.
 */
import { findModel } from '../checkpoint/model_folder.ts';
import { type RolloutSizes, rolloutSizes } from '../grpo/batching.ts';
import { type AdapterDefaults, withAdapterDefaults } from './adapter_defaults.ts';
import { checkFiles, checkOutput, checkPixels, checkSizes } from './checks.ts';
import { checkColumns, checkDatasets, pathOf } from './dataset_paths.ts';
import type { devicesFlags } from './devices.ts';
import type { doctorFlags } from './doctor.ts';
import type { exportFlags } from './export.ts';
import type { Faults } from './faults.ts';
import type { Values } from './flag.ts';
import type { inferFlags } from './infer.ts';
import { checkObjective, type ResolvedObjective, resolveObjective } from './objective_checks.ts';
import type { Environment } from './parse.ts';
import { isFolder } from './paths.ts';
import type { reportFlags } from './report.ts';
import type { rewardServerFlags } from './reward_server.ts';
import type { rlhfFlags } from './rlhf.ts';
import type { scoreFlags } from './score.ts';
import type { sftFlags } from './sft.ts';
import { resolveSystem } from './system_prompt.ts';
import { checkTraining, defaultRate, type TrainingValues } from './training_checks.ts';
import { checkAdapters, checkBits, checkReference } from './tuner_checks.ts';
import type { uiFlags } from './ui.ts';

type Resolved<V, R> = Omit<V, keyof R> & Readonly<R>;
export type RewardOptions = Readonly<Record<string, unknown>>;
type AttnImpl = 'eager' | 'sdpa' | 'flash_attention_2';
type Strategy = 'no' | 'steps' | 'epoch';

/** Complete arguments of `sightline rlhf`. A value is null only if that means "none". */
export type RlhfArguments = Resolved<
  Values<typeof rlhfFlags>,
  RolloutSizes &
    ResolvedObjective & {
      attnImpl: AttnImpl;
      modelDir: string;
      learningRate: number;
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
export type ReportArguments = Values<typeof reportFlags>;
export type DevicesArguments = Values<typeof devicesFlags>;
export type UiArguments = Values<typeof uiFlags>;

export type DoctorArguments = Resolved<Values<typeof doctorFlags>, { modelDir: string | null }>;

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
  if (values.engine === 'sightline') {
    checkReference(values, faults);
    checkObjective(values, faults);
  }
  const rollout = resolveGeneration(values, processes, faults);
  return {
    ...values,
    ...resolveTraining(values, faults, env),
    ...rollout,
    ...resolveObjective(values),
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
  checkBits(values.quantBits, faults);
  checkFiles('image', values.image, faults);
  const { attention } = values;
  faults.check(
    ['attention'],
    attention === null || /\.(html|png)$/i.test(attention),
    `ends in neither .html nor .png: ${attention}`,
    'name a file such as attention.html',
  );
  faults.check(
    ['attention', 'prompt', 'image'],
    attention === null || (values.prompt !== null && values.image.length > 0),
    'there is no answer about an image whose attention could be shown',
    'give --prompt and --image as well',
  );
  return { ...values, ...resolveAdapted(values, faults, env) };
}

export function resolveScore(values: Values<typeof scoreFlags>, faults: Faults, env: Environment): ScoreArguments {
  checkPixels(values, faults);
  checkAdapters(values, faults);
  checkBits(values.quantBits, faults);
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

/** @returns with `modelDir`, the checkpoint's folder; null without a model */
export function resolveDoctor(values: Values<typeof doctorFlags>, faults: Faults, env: Environment): DoctorArguments {
  checkFiles('external_plugins', values.externalPlugins, faults);
  checkDatasets('dataset', values.dataset, faults);
  checkColumns(values.columns, faults);
  faults.check(
    ['folders', 'dataset'],
    values.folders.length > 0 || values.dataset.length > 0,
    'there is nothing to look at',
    'give the folder of a run, or --dataset and --reward_funcs of one that is to come',
  );
  faults.check(
    ['reward_funcs', 'dataset'],
    values.dataset.length === 0 || values.rewardFuncs.length > 0,
    'the rewards that are to judge the dataset are missing',
    'give --reward_funcs NAME...',
  );
  const { model } = values;
  const found = model === null ? null : resolveModel({ model, modelRevision: null, attnImpl: null }, faults, env);
  return { ...values, modelDir: found?.modelDir ?? null };
}

export function resolveUi(values: Values<typeof uiFlags>, faults: Faults): UiArguments {
  const isOpen = !['127.0.0.1', 'localhost', '::1'].includes(values.host);
  faults.check(
    ['host', 'token'],
    !isOpen || values.token !== null,
    `an address that the network can reach, ${values.host}, needs a --token`,
    'leave out --host, or give a --token of at least 16 characters (or SIGHTLINE_UI_TOKEN)',
  );
  faults.check(
    ['token'],
    values.token === null || /^[\w-]{16,200}$/.test(values.token),
    'the token must have 16 to 200 letters, digits, - or _',
    'take one from: node -p "crypto.randomBytes(24).toString(\'base64url\')"',
  );
  return values;
}

export function resolveRewardServer(values: Values<typeof rewardServerFlags>, faults: Faults): RewardServerArguments {
  checkFiles('external_plugins', values.externalPlugins, faults);
  return values;
}

// --- internal ---

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
