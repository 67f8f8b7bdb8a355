/**
 * From the words after a command's name to the arguments of that command, or one error that lists every fault.
 */
import type { Json } from '../train/events.ts';
import { argumentsToJson, changedArguments } from './args_json.ts';
import type { CommandSpec } from './command.ts';
import type { Faults } from './faults.ts';
import type { Flags, Values } from './flag.ts';
import { inferCommand } from './infer.ts';
import { type Environment, parseArguments } from './parse.ts';
import {
  type InferArguments,
  type RewardServerArguments,
  type RlhfArguments,
  resolveInfer,
  resolveRewardServer,
  resolveRlhf,
  resolveScore,
  resolveSft,
  type ScoreArguments,
  type SftArguments,
} from './resolve.ts';
import { rewardServerCommand } from './reward_server.ts';
import { rlhfCommand } from './rlhf.ts';
import { scoreCommand } from './score.ts';
import { sftCommand } from './sft.ts';

export interface ReadArguments<A> {
  readonly args: A;
  /** All arguments by flag name, for args.json. */
  readonly json: Readonly<Record<string, Json>>;
  /** Those that are not at their default, for the start screen. */
  readonly changed: Readonly<Record<string, Json>>;
  /** Sentences to print before the run. */
  readonly notices: readonly string[];
}

/**
 * Errors: E_ARGUMENTS (exit code 2) with every fault, and those of a config file that cannot be read.
 *
 * @example
 * const { args } = readRlhfArguments(['--model', 'ckpt', '--dataset', 'train.jsonl', '--reward_funcs', 'format'], process.env);
 */
export function readRlhfArguments(argv: readonly string[], env: Environment): ReadArguments<RlhfArguments> {
  return read(rlhfCommand, resolveRlhf, argv, env);
}

export function readSftArguments(argv: readonly string[], env: Environment): ReadArguments<SftArguments> {
  return read(sftCommand, resolveSft, argv, env);
}

export function readInferArguments(argv: readonly string[], env: Environment): ReadArguments<InferArguments> {
  return read(inferCommand, resolveInfer, argv, env);
}

export function readScoreArguments(argv: readonly string[], env: Environment): ReadArguments<ScoreArguments> {
  return read(scoreCommand, resolveScore, argv, env);
}

export function readRewardServerArguments(
  argv: readonly string[],
  env: Environment,
): ReadArguments<RewardServerArguments> {
  return read(rewardServerCommand, resolveRewardServer, argv, env);
}

// --- internal ---

function read<F extends Flags, A extends object>(
  spec: CommandSpec<F>,
  resolve: (values: Values<F>, faults: Faults, env: Environment) => A,
  argv: readonly string[],
  env: Environment,
): ReadArguments<A> {
  const { values, given, notices, faults } = parseArguments(spec, argv, env);
  const args = resolve(values, faults, env);
  faults.throwIfAny(spec.name);
  const record = { ...args } as Readonly<Record<string, unknown>>;
  return { args, json: argumentsToJson(spec, record), changed: changedArguments(spec, record, given), notices };
}
