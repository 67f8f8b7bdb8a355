/**
 * Arguments of `sightline rlhf` as a command line of `swift rlhf` and an environment. What becomes of a flag stands with
 * the flag (src/arguments, `msSwift`); here is what takes more than one word for another.
 * Knows no processes and no files.
 */
import { resolve } from 'node:path';
import { isPython, type MsSwiftArguments } from '../arguments/arguments.ts';
import { type Flag, isOfReward } from '../arguments/flag.ts';
import type { Environment } from '../arguments/parse.ts';
import type { Json } from '../util/json.ts';
import { nameThere } from './reward_names.ts';

/** What a run is given beside its arguments. */
export interface Surroundings {
  /** Folder of this run, or, with `addVersion`, where ms-swift is to make one. */
  readonly outputDir: string;
  readonly addVersion: boolean;
  /** A file with the system prompt, for a text that ms-swift would change; null without one. */
  readonly systemFile: string | null;
  /** Files of rows, with absolute paths. */
  readonly dataset: readonly string[];
  readonly valDataset: readonly string[];
  /** Where relative paths of pictures start from; null: the rows have none. */
  readonly imageRoot: string | null;
  /** integrations/ms_swift/plugin.py. */
  readonly plugin: string;
  /** Program and script of the reward server. */
  readonly node: string;
  readonly cli: string;
  /** No GPU is used. */
  readonly onCpu: boolean;
  /** Limits of the checkpoint, or those that were given. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** `model_type` of config.json, if this program has the architecture: ms-swift's name is the same. */
  readonly modelType: string | null;
}

export interface Translation {
  /** After `swift rlhf`. */
  readonly words: readonly string[];
  /** Variables to add to the environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** @param env of this process: what it says already is left alone where nothing else was asked for */
export function translate(args: MsSwiftArguments, place: Surroundings, env: Environment): Translation {
  const words: string[] = [];
  const variables = surroundingVariables(args, place, env);
  for (const [name, flag] of Object.entries(args.flags)) {
    const value = args.json[name];
    if (value === undefined || value === null || isOfReward(flag)) continue;
    const special = SPECIAL[name];
    const { msSwift = {} } = flag;
    if (special !== undefined) words.push(...special(args, place));
    else if ('env' in msSwift) {
      if (args.given.has(name) || !env[msSwift.env]) variables[msSwift.env] = String(value);
    } else if (!('readHere' in msSwift || 'ignored' in msSwift || 'refused' in msSwift)) {
      words.push(...wordsOf(name, value, flag));
    }
  }
  words.push(...added(args, place));
  for (const [name, given] of args.handedOn) if (name !== CALLBACKS) words.push(`--${name}`, ...given);
  return { words, env: variables };
}

// --- internal ---

/** Registered by the plugin: the callback that gets hold of the policy. */
const CALLBACK = 'ddapo_attention';
const CALLBACKS = 'callbacks';
type Special = (args: MsSwiftArguments, place: Surroundings) => string[];

const SPECIAL: Readonly<Record<string, Special>> = {
  model: ({ args }, { modelType }) => [
    ...['--model', resolve(args.modelDir)],
    ...(modelType === null ? [] : ['--model_type', modelType, '--template', modelType]),
  ],
  dataset: (_, { dataset }) => ['--dataset', ...dataset],
  val_dataset: (_, { valDataset }) => (valDataset.length === 0 ? [] : ['--val_dataset', ...valDataset]),
  output_dir: (_, { outputDir, addVersion }) => ['--output_dir', outputDir, '--add_version', String(addVersion)],
  external_plugins: ({ args }, { plugin }) => ['--external_plugins', plugin, ...pythonPlugins(args.externalPlugins)],
  reward_funcs: ({ args }) => ['--reward_funcs', ...args.rewardFuncs.map(nameThere)],
  // Either gives the other one; ms-swift takes one of the two, and counts the first over all processes.
  generation_batch_size: ({ args, given }) =>
    given.has('generation_batch_size') ? ['--generation_batch_size', String(args.generationBatchSize)] : [],
  steps_per_generation: ({ args, given }) =>
    given.has('generation_batch_size') ? [] : ['--steps_per_generation', String(args.stepsPerGeneration)],
  // Both of ms-swift's shuffles, as one flag means here.
  dataset_shuffle: ({ args }) =>
    ['--dataset_shuffle', '--train_dataloader_shuffle'].flatMap((name) => [name, String(args.datasetShuffle)]),
  // ms-swift takes a name for a file, and two characters for a line break.
  system: ({ args }, { systemFile }) => [
    '--system',
    systemFile !== null && /\\n|\.txt$/.test(args.system!) ? systemFile : args.system!,
  ],
  // Tuners other than full have another default in ms-swift.
  learning_rate: ({ args, given }) =>
    args.tunerType === 'full' || given.has('learning_rate') ? ['--learning_rate', String(args.learningRate)] : [],
};

/** What ms-swift is told where the user has not said otherwise. */
function added({ handedOn, args }: MsSwiftArguments, { onCpu }: Surroundings): string[] {
  const isDistributed = args.nprocPerNode !== null || args.nnodes !== null;
  const defaults = {
    check_model: 'false', // would ask ModelScope for a newer one
    use_vllm: 'false',
    ...(onCpu ? { torch_dtype: 'float32', fp16: 'false', bf16: 'false' } : {}),
    ...(onCpu && isDistributed ? { ddp_backend: 'gloo' } : {}),
  };
  const words = Object.entries(defaults).filter(([name]) => !handedOn.has(name));
  return [
    ...[`--${CALLBACKS}`, CALLBACK, ...(handedOn.get(CALLBACKS) ?? []).filter((name) => name !== CALLBACK)],
    ...words.flatMap(([name, value]) => [`--${name}`, value]),
  ];
}

function surroundingVariables(
  { args, flags, json }: MsSwiftArguments,
  place: Surroundings,
  env: Environment,
): Record<string, string> {
  const ofRewards = Object.entries(flags).filter(([, flag]) => isOfReward(flag));
  const rewardOptions = Object.fromEntries(ofRewards.map(([name]) => [name, json[name] as Json]));
  const plugins = args.externalPlugins.filter((path) => !isPython(path)).map((path) => resolve(path));
  return {
    MIN_PIXELS: String(place.minPixels),
    MAX_PIXELS: String(place.maxPixels),
    ...(place.imageRoot === null ? {} : { ROOT_IMAGE_DIR: place.imageRoot }),
    ...(place.onCpu ? { CUDA_VISIBLE_DEVICES: '', ACCELERATE_USE_CPU: 'true' } : {}),
    ...(plugins.length === 0 ? {} : { SIGHTLINE_PLUGINS: plugins.join(':') }),
    ...(env.SIGHTLINE_NODE ? {} : { SIGHTLINE_NODE: place.node }),
    ...(env.SIGHTLINE_CLI ? {} : { SIGHTLINE_CLI: place.cli }),
    SIGHTLINE_REWARD_OPTIONS: JSON.stringify(rewardOptions),
    // Rewards that are computed in Python know nothing but the environment.
    ...Object.fromEntries(
      ofRewards.flatMap(([name, { env: variable }]) => {
        const value = json[name];
        return variable === undefined || value === null || value === undefined ? [] : [[variable, switchText(value)]];
      }),
    ),
    PYTHONUNBUFFERED: '1',
  };
}

const switchText = (value: Json): string => (typeof value === 'boolean' ? (value ? '1' : '0') : String(value));

const pythonPlugins = (paths: readonly string[]): string[] => paths.filter(isPython).map((path) => resolve(path));

function wordsOf(name: string, value: Json, { msSwift = {} }: Flag<unknown>): string[] {
  const own = 'words' in msSwift ? msSwift.words : undefined;
  const list = Array.isArray(value) ? value : [value];
  if (list.length === 0) return [];
  return [`--${name}`, ...list.map((item: Json) => wordOf(item)).map((word) => own?.[word] ?? word)];
}

function wordOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
