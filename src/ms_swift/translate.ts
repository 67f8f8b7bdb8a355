/**
 * Translates the arguments of `sightline rlhf` into a command line of `swift rlhf` and environment variables. The counterpart
 * of a flag is part of the flag itself (`msSwift` in src/arguments); here are the flags that need more than that.
 * Knows no processes and no files.
 */
import { resolve } from 'node:path';
import { isPython, type MsSwiftArguments } from '../arguments/arguments.ts';
import { type Flag, isOfReward } from '../arguments/flag.ts';
import type { Environment } from '../arguments/parse.ts';
import { namedCheckpoint } from '../train/resume/find.ts';
import type { Json } from '../util/json.ts';
import { nameThere } from './reward_names.ts';

/** What a command line needs beside the arguments. */
export interface Surroundings {
  /** The folder of the run, or, with `addVersion`, the folder in which ms-swift creates it. */
  readonly outputDir: string;
  readonly addVersion: boolean;
  /** File with the system prompt, used if ms-swift would change the text; null without a system prompt. */
  readonly systemFile: string | null;
  /** Absolute paths. */
  readonly dataset: readonly string[];
  readonly valDataset: readonly string[];
  /** Folder of relative image paths; null if all of them are absolute. */
  readonly imageRoot: string | null;
  /** integrations/ms_swift/plugin.py. */
  readonly plugin: string;
  /** Program and script of the reward server. */
  readonly node: string;
  readonly cli: string;
  /** No GPU is used. */
  readonly onCpu: boolean;
  /** As given, or those of the checkpoint. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** `model_type` in config.json, which ms-swift has under the same name; null if sightline does not have the architecture. */
  readonly modelType: string | null;
}

export interface Translation {
  /** After `swift rlhf`. */
  readonly words: readonly string[];
  /** Variables to add to the environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** @param env of this process; its variables have precedence over defaults of flags */
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

/** The plugin's callback, by which it gets the policy. */
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
  // ms-swift accepts only one of the two. The first counts over all processes.
  generation_batch_size: ({ args, given }) =>
    given.has('generation_batch_size') ? ['--generation_batch_size', String(args.generationBatchSize)] : [],
  steps_per_generation: ({ args, given }) =>
    given.has('generation_batch_size') ? [] : ['--steps_per_generation', String(args.stepsPerGeneration)],
  // ms-swift shuffles twice, by two flags.
  dataset_shuffle: ({ args }) =>
    ['--dataset_shuffle', '--train_dataloader_shuffle'].flatMap((name) => [name, String(args.datasetShuffle)]),
  // ms-swift takes a text that ends with .txt for a file, and replaces the two characters \n.
  system: ({ args }, { systemFile }) => [
    '--system',
    systemFile !== null && /\\n|\.txt$/.test(args.system!) ? systemFile : args.system!,
  ],
  // Without a method, ms-swift passes over the bits.
  quant_bits: ({ args, handedOn }) => [
    ...['--quant_bits', String(args.quantBits)],
    ...(handedOn.has('quant_method') ? [] : ['--quant_method', 'bnb']),
  ],
  // ms-swift does not know the word last.
  resume_from_checkpoint: ({ args }) => {
    const dir = namedCheckpoint(args);
    return dir === null ? [] : ['--resume_from_checkpoint', dir];
  },
  // ms-swift has another default for tuners other than full.
  learning_rate: ({ args, given }) =>
    args.tunerType === 'full' || given.has('learning_rate') ? ['--learning_rate', String(args.learningRate)] : [],
};

/** Flags that only ms-swift has, with other defaults than its own. */
function added({ handedOn, args }: MsSwiftArguments, { onCpu }: Surroundings): string[] {
  const isDistributed = args.nprocPerNode !== null || args.nnodes !== null;
  const defaults = {
    check_model: 'false', // asks ModelScope over the network
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
    // The attention reward in Python reads the environment.
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
