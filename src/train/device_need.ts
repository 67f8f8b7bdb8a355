/**
 * Counts what a run will hold on a graphics processor: makes its largest step on a device that computes nothing. Needs no
 * adapter and no weights; what is allocated, and when, is up to the same code as in the run.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { createGenerator } from '../engine/generation.ts';
import type { BatchPlan } from '../grpo/batching.ts';
import type { RolloutPrompt } from '../grpo/rollout.ts';
import type { Sampling } from '../grpo/rollout.ts';
import type { Reward } from '../rewards/reward.ts';
import { type CountedRun, openCounted } from '../runtime/counted.ts';
import { createRandom } from '../util/random.ts';
import { closing } from '../util/resources.ts';
import type { StepParts } from './experience.ts';
import { createJournal } from './journal.ts';
import type { PreparedPolicy } from './policy.ts';
import { neverStopping, rehearseStep } from './rehearsed_step.ts';
import { createUpdater, type UpdateOptions } from './update.ts';

export interface DeviceNeed {
  /** Most bytes of tensors at a time. */
  readonly tensors: number;
  /** The run that takes the most besides them. */
  readonly run: CountedRun;
}
