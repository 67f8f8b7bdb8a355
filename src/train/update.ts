/**
 * The optimizer step: norm of the accumulated gradients, clipping, and AdamW at the schedule's rate.
 * Knows parameters by name and shape, not the loss that their gradients come from.
 *
 * Differs from transformers' Trainer in one point: a gradient that is not finite skips the step; in Trainer it enters the
 * weights.
 */

import type { Parameters } from '../engine/parameters.ts';
import { SightlineError } from '../errors.ts';
import { type AdamW, createAdamW } from '../optim/adamw.ts';
import type { AdamWOptions } from '../optim/adamw_rates.ts';
import { clipCoefficient, globalNorm } from '../optim/clip.ts';
import { createSumOfSquares } from '../optim/gradients.ts';
import type { Schedule } from '../optim/schedule.ts';
import type { Device } from '../runtime/device.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { changingWeights } from './half_updated.ts';
import type { RateFactor } from './learning_rates.ts';

/** Whether weight decay applies to a parameter. */
export type DecayRule = (name: string, shape: readonly number[]) => boolean;

export interface UpdateOptions extends AdamWOptions {
  readonly schedule: Schedule;
  readonly weightDecay: number;
  /** 0 turns clipping off. */
  readonly maxGradNorm: number;
  readonly decays: DecayRule;
  /** By how much a parameter's rate differs from the schedule's; default not at all. */
  readonly rateFactor?: RateFactor;
}

export interface UpdateResult {
  /** 2-norm of all trained parameters' gradients before clipping; not finite if the step was skipped. */
  readonly gradNorm: number;
  /** The learning rate of this step, for parameters without a rate of their own. */
  readonly learningRate: number;
  /** True if the gradient was not finite; weights and moments are unchanged then. */
  readonly skipped: boolean;
}

/** Running means of a parameter's gradient (`m`) and of its square (`v`), with the parameter's sizes, where the parameter lives. */
export interface Moments {
  readonly m: Tensor;
  readonly v: Tensor;
}

export interface UpdateCounts {
  /** All steps, including skipped ones: the position in the schedule. */
  readonly steps: number;
  /** Steps that changed the weights: the count in AdamW's bias correction. */
  readonly updates: number;
  /** Steps skipped since the last one that changed the weights. */
  readonly skippedInARow: number;
}

/** The optimizer's whole state, for resuming. */
export interface UpdaterState {
  readonly counts: UpdateCounts;
  /** By parameter name. These are the live tensors, not copies. */
  readonly moments: ReadonlyMap<string, Moments>;
}

export interface Updater {
  /**
   * Does one step with the accumulated gradients and resets them to zero.
   *
   * Errors: E_DIVERGED after five skipped steps in a row, the weights are those of the last good step; E_HALF_UPDATED if a device
   * has no memory in the middle of it.
   */
  update(): Promise<UpdateResult>;
  state(): UpdaterState;
  /** Continues from these counts, with the moments that have been written into the tensors of `state()`. */
  restoreCounts(counts: UpdateCounts): void;
  release(): Promise<void>;
}

/** The optimizer of all trained parameters. */
export async function createUpdater(parameters: Parameters, options: UpdateOptions): Promise<Updater> {
  const { schedule, weightDecay, maxGradNorm, decays, rateFactor = () => 1 } = options;
  const { device } = parameters;
  const adamw: AdamW = await createAdamW(options, device);
  const squares = await createSumOfSquares(device);
  const trained: Trained[] = [];
  for (const name of parameters.trained) {
    const value = parameters.value(name);
    const [m, v] = [await zerosLike(value, device), await zerosLike(value, device)];
    const own = { weightDecay: decays(name, value.dims) ? weightDecay : 0, factor: rateFactor(name, value.dims) };
    trained.push({ name, value, m, v, ...own });
  }
  let counts: UpdateCounts = { steps: 0, updates: 0, skippedInARow: 0 };

  return {
    async update() {
      device.tidy(); // buffers of forward and backward make room for those of the update, which have other sizes
      const gradients = trained.map(({ name }) => parameters.gradient(name));
      const gradNorm = globalNorm(await squares.of(gradients));
      const learningRate = schedule(counts.steps);
      const skipped = !Number.isFinite(gradNorm);
      if (skipped) await parameters.zeroGradients();
      else {
        const rows = trained.map(({ factor, ...row }, i) => ({
          ...row,
          grad: gradients[i]!,
          learningRate: factor * learningRate,
        }));
        const gradScale = clipCoefficient(gradNorm, maxGradNorm);
        await changingWeights(() => adamw.update(rows, { step: counts.updates + 1, gradScale }));
      }
      device.tidy(); // the next step has other lengths
      counts = {
        steps: counts.steps + 1,
        updates: counts.updates + (skipped ? 0 : 1),
        skippedInARow: skipped ? counts.skippedInARow + 1 : 0,
      };
      if (counts.skippedInARow >= PATIENCE) throw diverged(gradNorm, counts);
      return { gradNorm, learningRate, skipped };
    },

    state: () => ({ counts, moments: new Map(trained.map(({ name, m, v }) => [name, { m, v }])) }),

    restoreCounts(saved) {
      counts = saved;
    },

    async release() {
      await Promise.all([adamw.release(), squares.release()]);
    },
  };
}

// --- internal ---

interface Trained extends Moments {
  readonly name: string;
  readonly value: Tensor;
  readonly weightDecay: number;
  /** By how much its rate differs from the schedule's. */
  readonly factor: number;
}

const zerosLike = ({ dims }: Tensor, device: Device): Promise<Tensor> => device.allocate('float32', dims);

/** The run ends after this many skipped steps in a row. */
const PATIENCE = 5;

function diverged(gradNorm: number, { steps, skippedInARow }: UpdateCounts): SightlineError {
  return new SightlineError(
    'E_DIVERGED',
    `the gradient norm was not finite (${gradNorm}) in ${skippedInARow} steps in a row; training stops`,
    {
      where: `step ${steps}`,
      hint: 'lower --learning_rate or --max_grad_norm, and look for a NaN in the rewards or losses before that step',
      exitCode: 4,
    },
  );
}
