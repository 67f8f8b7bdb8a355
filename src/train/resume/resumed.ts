/**
 * What a run continues from: reads the state of a checkpoint, checks that it fits, and restores weights and optimizer.
 */
import type { ModelConfig } from '../../models/architecture.ts';
import type { EarlierCheckpoints } from '../checkpoints.ts';
import type { RunContext } from '../events.ts';
import type { MovingReference } from '../moving_reference.ts';
import type { Policy } from '../policy.ts';
import type { Updater } from '../update.ts';
import { checkArguments } from './arguments_check.ts';
import { checkpointsIn } from './find.ts';
import { checkInputs, type InputDigests } from './inputs.ts';
import { type LoopState, readLoopState, readTrainerState, type TrainerState } from './loop_state.ts';
import { restorePolicy } from './restore.ts';

/** The state that a run continues from, besides weights. */
export interface Resumed {
  readonly trainer: TrainerState;
  readonly loop: LoopState;
  /** Sentences for the user. */
  readonly notices: readonly string[];
}

/**
 * Reads the state of the checkpoint that the run continues from, before any weight is read; null if it begins with step 0.
 *
 * @param inputs of this run
 * Errors: those of `readTrainerState`, `readLoopState`, `checkArguments` and `checkInputs`.
 */
export function readResumed(
  { resume = null, outputDir }: Pick<RunContext, 'resume' | 'outputDir'>,
  command: LoopState['command'],
  inputs: InputDigests,
): Resumed | null {
  // As in ms-swift, the two flags together take the weights and nothing else.
  if (resume === null || (resume.onlyModel && resume.ignoreDataSkip)) return null;
  const { dir, ignoreDataSkip, args } = resume;
  const trainer = readTrainerState(dir, outputDir);
  const loop = readLoopState(dir, command);
  const sampler = ignoreDataSkip ? { ...loop.sampler, position: 0 } : loop.sampler;
  const notices = [...checkArguments(dir, args), ...checkInputs(dir, loop.inputs, inputs)];
  return { trainer, loop: { ...loop, sampler }, notices };
}

/** Puts the checkpoint's weights, and unless only these are wanted its optimizer state, into the run. Errors: those of `restorePolicy`. */
export async function restoreResumed(
  { resume = null }: Pick<RunContext, 'resume'>,
  policy: Pick<Policy, 'adapter' | 'parameters'>,
  baseConfig: ModelConfig,
  updater: Updater,
  moving: MovingReference | null = null,
): Promise<void> {
  if (resume !== null) await restorePolicy(resume.dir, policy, baseConfig, resume.onlyModel ? null : updater, moving);
}

/**
 * The checkpoints of the run up to the one that it continues from.
 *
 * @param rewritesLast the last one is saved again
 */
export function earlierCheckpoints(
  outputDir: string,
  { step, best }: TrainerState,
  rewritesLast: boolean,
): EarlierCheckpoints {
  const saved = checkpointsIn(outputDir).filter(([at]) => (rewritesLast ? at < step : at <= step));
  return { saved: saved.map(([, dir]) => dir), best };
}
