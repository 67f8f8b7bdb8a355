/**
 * loop_state.json of a checkpoint: what the loop continues from besides weights and optimizer. Random numbers are not in it,
 * because each one follows from the seed and the number of its step.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readJsonFile } from '../../checkpoint/json_file.ts';
import type { SamplerState } from '../../data/sampler.ts';
import { messageOf, SightlineError } from '../../errors.ts';
import { fromExactJson, toExactJson } from '../../util/exact_json.ts';
import { describe, isJsonObject, type Json, shownJson } from '../../util/json.ts';
import type { AveragesState } from '../averages.ts';
import { LOOP_STATE_FILE, TRAINER_STATE_FILE } from '../checkpoint_files.ts';
import type { JournalState } from '../journal.ts';
import { faultOfInputs, type InputDigests } from './inputs.ts';

export interface LoopState {
  /** The command that trains. */
  readonly command: 'rlhf' | 'sft';
  readonly inputs: InputDigests;
  /** Position in the order of rows, before the next step. */
  readonly sampler: SamplerState;
  /** Metrics of steps since the last log. */
  readonly averages: AveragesState;
  readonly journal: JournalState;
  /** What the command's steps left for later ones; null if nothing. */
  readonly steps: unknown;
}

/** The checkpoint with the best evaluation. */
export interface Best {
  readonly dir: string;
  readonly metric: number;
  readonly step: number;
}

/** What trainer_state.json says of the run so far. */
export interface TrainerState {
  readonly step: number;
  readonly history: readonly Json[];
  readonly best: Best | null;
}

export async function writeLoopState(folder: string, state: LoopState): Promise<void> {
  await writeFile(join(folder, LOOP_STATE_FILE), JSON.stringify({ format: FORMAT, ...toFields(state) }));
}

/** Errors: E_RESUME_STATE for a file that is damaged, or that another version or command wrote. */
export function readLoopState(dir: string, command: LoopState['command']): LoopState {
  const path = join(dir, LOOP_STATE_FILE);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw damaged(path, messageOf(error));
  }
  if (!isJsonObject(json)) throw damaged(path, `it holds ${describe(json)}, expected an object`);
  if (json.format !== FORMAT) {
    throw new SightlineError('E_RESUME_STATE', `the format is ${shownJson(json.format, 20)}, expected ${FORMAT}`, {
      where: path,
      hint: 'resume with the version of sightline that saved it, or begin a new run with its weights: --resume_only_model true --ignore_data_skip true',
    });
  }
  if (json.command !== command) {
    throw new SightlineError('E_RESUME_STATE', `the checkpoint was saved by sightline ${shownJson(json.command, 20)}`, {
      where: path,
      hint: `resume with that command, or start from the weights with --model ${dir}`,
    });
  }
  let state: Record<string, unknown>;
  try {
    state = fromExactJson(json) as Record<string, unknown>;
  } catch (error) {
    throw damaged(path, messageOf(error));
  }
  const { inputs, sampler, averages, journal, steps } = state;
  const fault =
    faultOfInputs(inputs) ??
    faultOfSampler(sampler) ??
    faultOfObject('averages', averages) ??
    faultOfObject('journal', journal);
  if (fault !== null) throw damaged(path, fault);
  return {
    command,
    inputs: inputs as unknown as InputDigests,
    sampler: sampler as SamplerState,
    averages: averages as AveragesState,
    journal: journal as unknown as JournalState,
    steps,
  };
}

/**
 * @param runDir folder of the run, which may have moved since
 * Errors: E_RESUME_STATE and those of `readJsonFile`.
 */
export function readTrainerState(dir: string, runDir: string): TrainerState {
  const path = join(dir, TRAINER_STATE_FILE);
  const json = readJsonFile(path);
  const { global_step: step, log_history: history, best_metric: metric, best_global_step: bestStep } = json;
  if (!isCount(step) || step < 1) throw damaged(path, `global_step is ${describe(step)}, expected a number above 0`);
  if (!Array.isArray(history)) throw damaged(path, `log_history is ${describe(history)}, expected a list`);
  const best =
    typeof metric === 'number' && isCount(bestStep)
      ? { metric, step: bestStep, dir: join(runDir, `checkpoint-${bestStep}`) }
      : null;
  return { step, history: history as Json[], best };
}

// --- internal ---

/** Raised whenever a field changes its meaning. */
const FORMAT = 2;

const toFields = (state: LoopState): Record<string, Json> => toExactJson(state) as Record<string, Json>;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function faultOfObject(name: string, value: unknown): string | null {
  return isJsonObject(value) ? null : `${name} is ${describe(value)}, expected an object`;
}

function faultOfSampler(value: unknown): string | null {
  if (!isJsonObject(value)) return `sampler is ${describe(value)}, expected an object`;
  const wrong = ['length', 'epoch', 'position'].find((name) => !isCount(value[name]));
  if (wrong !== undefined) return `sampler.${wrong} is ${describe(value[wrong])}, expected a whole number`;
  if (typeof value.seed !== 'number') return `sampler.seed is ${describe(value.seed)}, expected a number`;
  return typeof value.shuffle === 'boolean'
    ? null
    : `sampler.shuffle is ${describe(value.shuffle)}, expected a boolean`;
}

function damaged(path: string, what: string): SightlineError {
  return new SightlineError('E_RESUME_STATE', `the file is damaged: ${what}`, {
    where: path,
    hint: 'resume from an earlier checkpoint, or begin a new run with its weights: --resume_only_model true --ignore_data_skip true',
  });
}
