/**
 * Turns the words after a command's name into the command's arguments, or throws one error that lists every fault.
 */
import { statSync } from 'node:fs';
import { SightlineError } from '../errors.ts';
import { ormFiles } from '../rewards/registry.ts';
import type { Json } from '../util/json.ts';
import { argumentsToJson, changedArguments } from './args_json.ts';
import type { CommandSpec } from './command.ts';
import { devicesCommand } from './devices.ts';
import { doctorCommand } from './doctor.ts';
import type { msSwiftFlags } from './engine_flags.ts';
import { exportCommand } from './export.ts';
import type { Faults } from './faults.ts';
import { camelCase, type Engine, type Flags, isOfReward, snakeCase, type Values } from './flag.ts';
import { inferCommand } from './infer.ts';
import { type Environment, parseArguments } from './parse.ts';
import { msSwiftNames } from './peers/index.ts';
import { reportCommand } from './report.ts';
import {
  type DevicesArguments,
  type DoctorArguments,
  type ExportArguments,
  type InferArguments,
  type ReportArguments,
  type RewardOptions,
  type RewardServerArguments,
  type RlhfArguments,
  resolveDoctor,
  resolveExport,
  resolveInfer,
  resolveRewardServer,
  resolveRlhf,
  resolveScore,
  resolveSft,
  resolveUi,
  type ScoreArguments,
  type SftArguments,
  type UiArguments,
} from './resolve.ts';
import { ownersOf, rlhfForMsSwift, rlhfWithRewards } from './reward_flags.ts';
import { rewardServerCommand } from './reward_server.ts';
import { rlhfCommand, type rlhfFlags } from './rlhf.ts';
import { scoreCommand } from './score.ts';
import { sftCommand } from './sft.ts';
import { uiCommand } from './ui.ts';
import { checkValue } from './value.ts';

export interface ReadArguments<A> {
  readonly args: A;
  /** All arguments by flag name, for args.json. */
  readonly json: Readonly<Record<string, Json>>;
  /** Arguments that differ from their default, for the start screen. */
  readonly changed: Readonly<Record<string, Json>>;
  /** Sentences to print before the run. */
  readonly notices: readonly string[];
}

/**
 * Reads the arguments of `sightline rlhf`. Load the plugins first, so that their flags are known: see `pluginsNamed`.
 *
 * Errors: E_ARGUMENTS (exit code 2) with every fault; E_REWARD_CLASS if a reward states an invalid flag; those of a config
 * file that cannot be read.
 *
 * @example
 * const { args } = readRlhfArguments(['--model', 'ckpt', '--dataset', 'train.jsonl', '--reward_funcs', 'format'], process.env);
 */
export function readRlhfArguments(argv: readonly string[], env: Environment): ReadArguments<RlhfArguments> {
  const spec = rlhfWithRewards();
  checkDefaults(spec.flags);
  const resolve: Resolve<typeof rlhfFlags, RlhfArguments> = (values, ...rest) => {
    const { own, rewardOptions } = splitValues(spec.flags, values);
    return resolveRlhf(own, rewardOptions, ...rest);
  };
  const { notices, ...others } = read(spec, resolve, argv, env);
  const unused = unusedFlags(others.changed, spec.flags, others.args.rewardFuncs);
  return { ...others, notices: [...notices, ...unused, ...unusedTunerFlags(others.changed, others.args)] };
}

/**
 * The plugin files named by the command line, the config file or the environment. Empty if one of them is not a file:
 * `readRlhfArguments` reports that together with the other faults.
 *
 * Errors: those of a config file that cannot be read.
 */
export function pluginsNamed(argv: readonly string[], env: Environment): readonly string[] {
  const { externalPlugins, engine } = parseArguments(rlhfCommand, argv, env).values;
  if (!externalPlugins.every((path) => statSync(path, { throwIfNoEntry: false })?.isFile())) return [];
  return engine === 'ms-swift' ? externalPlugins.filter((path) => !isPython(path)) : externalPlugins;
}

/** The value of --engine. Errors: those of a config file that cannot be read. */
export function engineNamed(argv: readonly string[], env: Environment): Engine {
  return parseArguments(rlhfCommand, argv, env).values.engine;
}

/** Arguments of `sightline rlhf --engine ms-swift`. Choices may have values that only ms-swift knows. */
export interface MsSwiftArguments extends ReadArguments<RlhfArguments & Values<typeof msSwiftFlags>> {
  /** Flags that only ms-swift has, with their words as given. */
  readonly handedOn: ReadonlyMap<string, readonly string[]>;
  /** All flags of the command. */
  readonly flags: Flags;
  /** Names of flags that were given a value other than the default. */
  readonly given: ReadonlySet<string>;
}

/** Like `readRlhfArguments`, but also accepts the flags of ms-swift. Same errors. */
export function readMsSwiftArguments(argv: readonly string[], env: Environment): MsSwiftArguments {
  const spec = rlhfForMsSwift();
  checkDefaults(spec.flags);
  const others = COMMANDS.filter(({ name }) => name !== spec.name);
  const handOn = { owner: 'ms-swift 4.6', names: msSwiftNames() };
  const { values, given, notices, handedOn, faults } = parseArguments(spec, argv, env, { others, handOn });
  const { own, rewardOptions } = splitValues(spec.flags, values);
  const processes = (values.nprocPerNode ?? 1) * (values.nnodes ?? 1);
  const args = { ...values, ...resolveRlhf(own, rewardOptions, faults, env, processes) };
  faults.check(
    ['add_version', 'nnodes'],
    (values.nnodes ?? 1) === 1 || !values.addVersion,
    `with --nnodes ${values.nnodes}, each machine would create its own folder`,
    'give the same --output_dir and --add_version false on all machines',
  );
  const record = { ...args } as Readonly<Record<string, unknown>>;
  const changed = changedArguments(spec, record, given);
  const withoutEffect = checkMeaning(spec.flags, changed, faults);
  faults.throwIfAny(spec.name);
  const words = Object.fromEntries(
    [...handedOn].map(([name, of]) => [name, of.length > 1 ? [...of] : (of[0] ?? 'true')]),
  );
  return {
    args,
    json: { ...argumentsToJson(spec, record), ...words },
    changed: { ...changed, ...words },
    notices: [...notices, ...withoutEffect, ...unusedFlags(changed, spec.flags, args.rewardFuncs)],
    handedOn,
    flags: spec.flags,
    given: new Set(Object.keys(changed)),
  };
}

/** Whether a plugin is written for ms-swift, in Python. */
export const isPython = (path: string): boolean => path.endsWith('.py');

export function readSftArguments(argv: readonly string[], env: Environment): ReadArguments<SftArguments> {
  const { notices, ...others } = read(sftCommand, resolveSft, argv, env);
  return { ...others, notices: [...notices, ...unusedTunerFlags(others.changed, others.args)] };
}

export function readInferArguments(argv: readonly string[], env: Environment): ReadArguments<InferArguments> {
  return withInherited(read(inferCommand, resolveInfer, argv, env));
}

export function readScoreArguments(argv: readonly string[], env: Environment): ReadArguments<ScoreArguments> {
  return withInherited(read(scoreCommand, resolveScore, argv, env));
}

export function readExportArguments(argv: readonly string[], env: Environment): ReadArguments<ExportArguments> {
  return read(exportCommand, resolveExport, argv, env);
}

export function readRewardServerArguments(
  argv: readonly string[],
  env: Environment,
): ReadArguments<RewardServerArguments> {
  return read(rewardServerCommand, resolveRewardServer, argv, env);
}

export function readDoctorArguments(argv: readonly string[], env: Environment): ReadArguments<DoctorArguments> {
  return read(doctorCommand, resolveDoctor, argv, env);
}

export function readDevicesArguments(argv: readonly string[], env: Environment): ReadArguments<DevicesArguments> {
  return read(devicesCommand, (values) => values, argv, env);
}

export function readReportArguments(argv: readonly string[], env: Environment): ReadArguments<ReportArguments> {
  return read(reportCommand, (values) => values, argv, env);
}

export function readUiArguments(argv: readonly string[], env: Environment): ReadArguments<UiArguments> {
  return read(uiCommand, resolveUi, argv, env);
}

// --- internal ---

const COMMANDS: readonly CommandSpec[] = [rlhfWithRewards(), sftCommand, inferCommand, scoreCommand, uiCommand];

type Resolve<F extends Flags, A> = (values: Values<F>, faults: Faults, env: Environment) => A;

function read<F extends Flags, A extends object>(
  spec: CommandSpec<F>,
  resolve: Resolve<F, A>,
  argv: readonly string[],
  env: Environment,
): ReadArguments<A> {
  const others = COMMANDS.filter(({ name }) => name !== spec.name);
  const { values, given, notices, faults } = parseArguments(spec, argv, env, { others });
  const args = resolve(values, faults, env);
  faults.throwIfAny(spec.name);
  const record = { ...args } as Readonly<Record<string, unknown>>;
  return { args, json: argumentsToJson(spec, record), changed: changedArguments(spec, record, given), notices };
}

/** Separates the values of the command's own flags from those of rewards. The latter keep their flag names. */
function splitValues(
  flags: Flags,
  values: Values<typeof rlhfFlags>,
): { own: typeof values; rewardOptions: RewardOptions } {
  const own: Record<string, unknown> = {};
  const rewardOptions: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const value = (values as Readonly<Record<string, unknown>>)[camelCase(name)];
    if (isOfReward(flag)) rewardOptions[name] = value;
    else own[camelCase(name)] = value;
  }
  return { own: own as typeof values, rewardOptions };
}

/** Notes on flags without a meaning in ms-swift. Those that would change the result are faults. */
function checkMeaning(flags: Flags, changed: Readonly<Record<string, Json>>, faults: Faults): string[] {
  return Object.keys(changed).flatMap((name) => {
    const { msSwift = {} } = flags[name]!;
    if ('refused' in msSwift) faults.check([name], false, 'ms-swift has no such setting', msSwift.refused);
    return 'ignored' in msSwift ? [`--${name} has no effect with --engine ms-swift: ${msSwift.ignored}`] : [];
  });
}

/** Refuses a default that its own flag does not accept: a later run that reads args.json would fail on it. */
function checkDefaults(flags: Flags): void {
  for (const [name, flag] of Object.entries(flags)) {
    const checked = isOfReward(flag) ? checkValue(flag.default, flag) : null;
    if (checked === null || checked.ok) continue;
    const [reward] = ownersOf(name);
    throw new SightlineError('E_REWARD_CLASS', `reward "${reward}": the default of --${name}: ${checked.message}`, {
      where: ormFiles.get(reward!),
      hint: 'correct the default in its `static flags`',
    });
  }
}

/** A notice about arguments that an adapter's folder gave. */
function withInherited<A extends Pick<InferArguments, 'inherited' | 'adapters'>>(
  read: ReadArguments<A>,
): ReadArguments<A> {
  const { inherited, adapters } = read.args;
  if (inherited.length === 0) return read;
  const values = inherited.map((name) => `${snakeCase(name)} ${JSON.stringify(read.json[snakeCase(name)])}`);
  return { ...read, notices: [...read.notices, `from ${adapters[0]}: ${values.join(', ')}`] };
}

/** Notices about flags of new adapters where none is made. */
function unusedTunerFlags(
  changed: Readonly<Record<string, Json>>,
  { tunerType, adapters }: Pick<SftArguments, 'tunerType' | 'adapters'>,
): string[] {
  const why =
    tunerType === 'full'
      ? 'it belongs to --tuner_type lora'
      : adapters.length > 0
        ? 'the adapter of --adapters has settings of its own'
        : null;
  if (why === null) return [];
  const ofNew = Object.keys(changed).filter((name) => OF_NEW_ADAPTERS.has(name));
  const ofLora = tunerType === 'full' && 'lorap_lr_ratio' in changed ? ['lorap_lr_ratio'] : [];
  return [...ofNew, ...ofLora].map((name) => `--${name} has no effect: ${why}`);
}

const OF_NEW_ADAPTERS: ReadonlySet<string> = new Set([
  'lora_rank',
  'lora_alpha',
  'lora_dropout',
  'use_rslora',
  'init_weights',
  'target_modules',
  'target_regex',
  'modules_to_save',
]);

/** Notices about flags of rewards that are not in --reward_funcs. */
function unusedFlags(changed: Readonly<Record<string, Json>>, flags: Flags, rewardFuncs: readonly string[]): string[] {
  return Object.keys(changed).flatMap((name) => {
    if (!isOfReward(flags[name]!)) return [];
    const owners = ownersOf(name);
    if (owners.some((owner) => rewardFuncs.includes(owner))) return [];
    return [`--${name} has no effect: it belongs to ${owners.join(', ')}, which is not in --reward_funcs`];
  });
}
