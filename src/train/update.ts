/**
 * The optimizer step: norm of the accumulated gradients, clipping, AdamW at the schedule's rate, or no step at all.
 * Knows parameters by name and shape; not what loss their gradients came from.
 *
 * Leaves transformers' Trainer in two points: a gradient that is not finite skips the step (there it goes into the
 * weights), and no norm weight decays (its name patterns miss the vision tower's norm1, norm2 and ln_q).
 */

import type { Parameters } from '../engine/parameters.ts';
import { SightlineError } from '../errors.ts';
import { type AdamW, type AdamWOptions, createAdamW } from '../optim/adamw.ts';
import { clipCoefficient, globalNorm } from '../optim/clip.ts';
import { createSumOfSquares } from '../optim/gradients.ts';
import type { Schedule } from '../optim/schedule.ts';
import type { RateFactor } from './learning_rates.ts';

/** Whether weight decay applies to a parameter. */
export type DecayRule = (name: string, shape: readonly number[]) => boolean;

/** Matrices decay; biases and norm weights, which are vectors, do not. */
const matricesDecay: DecayRule = (_name, shape) => shape.length > 1;

export interface UpdateOptions extends AdamWOptions {
  readonly schedule: Schedule;
  readonly weightDecay: number;
  /** 0: no clipping. */
  readonly maxGradNorm: number;
  readonly decays?: DecayRule;
  /** By how much a parameter's rate differs from the schedule's; default not at all. */
  readonly rateFactor?: RateFactor;
}

export interface UpdateResult {
  /** 2-norm of all trained parameters' gradients before clipping; not finite where the step was skipped. */
  readonly gradNorm: number;
  /** The rate of this step, of parameters that have none of their own. */
  readonly learningRate: number;
  /** The gradient was not finite: weights and moments are as they were. */
  readonly skipped: boolean;
}

/** Running means of a parameter's gradient and of its square, in the parameter's order. */
export interface Moments {
  readonly m: Float32Array;
  readonly v: Float32Array;
}

export interface UpdateCounts {
  /** Steps asked for: where the schedule is. */
  readonly steps: number;
  /** Steps done: what AdamW's bias correction counts. */
  readonly updates: number;
  /** Steps skipped since the last one done. */
  readonly skippedInARow: number;
}

/** All that a later run needs to go on as if it had not stopped. */
export interface UpdaterState {
  readonly counts: UpdateCounts;
  /** By parameter name; the live arrays, not copies. */
  readonly moments: ReadonlyMap<string, Moments>;
}

export interface Updater {
  /**
   * Takes the accumulated gradients for one step and sets them back to zero.
   *
   * @throws SightlineError E_DIVERGED after five skipped steps in a row; weights are those of the last good step
   */
  update(): Promise<UpdateResult>;
  state(): UpdaterState;
  /** Goes on from a state of the same parameters. */
  restore(state: UpdaterState): void;
  release(): Promise<void>;
}

/** The optimizer of all trained parameters. */
export async function createUpdater(parameters: Parameters, options: UpdateOptions): Promise<Updater> {
  const { schedule, weightDecay, maxGradNorm, decays = matricesDecay, rateFactor = () => 1 } = options;
  const adamw: AdamW = await createAdamW(options);
  const squares = await createSumOfSquares(options);
  const trained = parameters.trained.map((name) => {
    const { data, dims } = parameters.value(name);
    const moments: Moments = { m: new Float32Array(data.length), v: new Float32Array(data.length) };
    const own = { weightDecay: decays(name, dims) ? weightDecay : 0, factor: rateFactor(name, dims) };
    return { name, value: data, ...moments, ...own };
  });
  let counts: UpdateCounts = { steps: 0, updates: 0, skippedInARow: 0 };

  return {
    async update() {
      const gradients = trained.map(({ name }) => parameters.gradient(name).data);
      const gradNorm = globalNorm(await squares.of(gradients));
      const learningRate = schedule(counts.steps);
      const skipped = !Number.isFinite(gradNorm);
      if (skipped) parameters.zeroGradients();
      else {
        const rows = trained.map(({ factor, ...row }, i) => ({
          ...row,
          grad: gradients[i]!,
          learningRate: factor * learningRate,
        }));
        await adamw.update(rows, { step: counts.updates + 1, gradScale: clipCoefficient(gradNorm, maxGradNorm) });
      }
      counts = {
        steps: counts.steps + 1,
        updates: counts.updates + (skipped ? 0 : 1),
        skippedInARow: skipped ? counts.skippedInARow + 1 : 0,
      };
      if (counts.skippedInARow >= PATIENCE) throw diverged(gradNorm, counts);
      return { gradNorm, learningRate, skipped };
    },

    state: () => ({ counts, moments: new Map(trained.map(({ name, m, v }) => [name, { m, v }])) }),

    restore(state) {
      for (const { name, m, v } of trained) {
        const saved = state.moments.get(name);
        if (saved === undefined) throw new Error(`internal: no optimizer state of ${name}`);
        m.set(saved.m);
        v.set(saved.v);
      }
      counts = state.counts;
    },

    async release() {
      await Promise.all([adamw.release(), squares.release()]);
    },
  };
}

// --- internal ---

/** Steps skipped in a row after which the run is given up. */
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
