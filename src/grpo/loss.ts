/**
 * The GRPO objective and its derivative by every token's log-probability, for one micro-batch of ragged sequences.
 * Knows log-probabilities, advantages and counts, not the model, its graph or the optimizer.
 *
 * Sources: Shao et al. 2024 (GRPO), Liu et al. 2025 (Dr. GRPO), Yu et al. 2025 (DAPO), Zheng et al. 2025 (GSPO, the
 * sequence ratio), and TRL trainer/grpo_trainer.py `_compute_loss`, whose values the tests compare with.
 * Differs from them in the step's exact denominators (see StepCounts) and in the clamped KL (kl.ts).
 */
import { tokenKl } from './kl.ts';

export type FloatArray = Float32Array | Float64Array;

/** How token losses become one number. docs/formulas.md compares the four denominators. */
export type LossType = 'grpo' | 'bnpo' | 'dr_grpo' | 'dapo';

/** One ratio per token, or one per sequence (the geometric mean of its tokens' ratios, GSPO). */
export type ImportanceSamplingLevel = 'token' | 'sequence';

export interface LossOptions {
  readonly lossType: LossType;
  readonly importanceSamplingLevel: ImportanceSamplingLevel;
  /** The ratio is clipped to [1 - epsilon, 1 + epsilonHigh]. */
  readonly epsilon: number;
  readonly epsilonHigh: number;
  /** Upper bound of the unclipped ratio (two-sided clipping, INTELLECT-2); null for none. */
  readonly delta: number | null;
  /** Weight of the KL to the reference; 0 needs no reference. */
  readonly beta: number;
  /** dr_grpo's constant denominator, in tokens. */
  readonly maxCompletionLength: number;
}

/** One micro-batch: B sequences, the i-th with T_i completion tokens. */
export interface LossBatch {
  /** log-probability of each completion token under the policy. [B][T_i] */
  readonly logps: readonly FloatArray[];
  /** The same under the policy that sampled; null when that is the current policy (ratio exactly 1). [B][T_i] */
  readonly oldLogps: readonly FloatArray[] | null;
  /** The same under the frozen reference; null only when beta is 0. [B][T_i] */
  readonly refLogps: readonly FloatArray[] | null;
  /** [B] */
  readonly advantages: ArrayLike<number>;
}

/**
 * Counts of the whole optimizer step, for the denominators. They make the losses and gradients of a step's micro-batches sum
 * to those of the step in one batch, however it was split. (Not with bnpo, whose mean is over the micro-batch by definition.)
 */
export interface StepCounts {
  /** Sequences in the step. */
  readonly sequences: number;
  /** Completion tokens of the step (dapo). */
  readonly tokens: number;
  /** Micro-batches in the step, i.e. gradient accumulation steps (bnpo). */
  readonly microBatches: number;
}

/** Sums over one micro-batch, from which metrics.ts makes the logged means. */
export interface LossSums {
  readonly tokens: number;
  /** Sum of the token KL; null without a reference. */
  readonly kl: number | null;
  /** Ratios that could be clipped: tokens, or sequences at the sequence level. */
  readonly ratios: number;
  /** Ratios below 1 - epsilon with a negative advantage. */
  readonly lowClipped: number;
  /** Ratios above 1 + epsilonHigh with a positive advantage. */
  readonly highClipped: number;
}

export interface LossResult {
  /** This micro-batch's share of the step's loss; the step's loss is the sum over its micro-batches. */
  readonly loss: number;
  /** Derivative of that share by each token's log-probability. [B][T_i] */
  readonly dLogps: Float64Array[];
  readonly sums: LossSums;
}

/**
 * Loss, gradient and metric sums of one micro-batch.
 *
 * Per token: `L_t = -min(min(rho, delta) A, clip(rho, 1 - eps, 1 + epsHigh) A) + beta KL_t`, with
 * `rho = exp(logp - old)` per token or `exp(mean_t(logp - old))` per sequence; then the loss type's weighted sum.
 *
 * @throws internal errors: lengths that do not agree; beta without reference log-probabilities
 */
export function grpoLoss(batch: LossBatch, options: LossOptions, step: StepCounts): LossResult {
  checkShapes(batch, options);
  const microBatchTokens = batch.logps.reduce((sum, { length }) => sum + length, 0);
  const sums = { tokens: microBatchTokens, kl: 0, ratios: 0, lowClipped: 0, highClipped: 0 };
  let loss = 0;

  const dLogps = batch.logps.map((logps, i) => {
    const gradient = new Float64Array(logps.length);
    const old = batch.oldLogps?.[i] ?? null;
    const ref = options.beta === 0 ? null : batch.refLogps![i]!;
    const advantage = batch.advantages[i]!;
    const weight = tokenWeight(options, step, logps.length, microBatchTokens);

    let sequenceRatio = 1;
    if (options.importanceSamplingLevel === 'sequence') {
      sequenceRatio = Math.exp(meanLogRatio(logps, old));
      countClipped(sums, cap(sequenceRatio, options.delta), advantage, options);
    }
    for (let t = 0; t < logps.length; t++) {
      const logp = logps[t]!;
      let ratio = sequenceRatio;
      if (options.importanceSamplingLevel === 'token') {
        ratio = old === null ? 1 : Math.exp(logp - old[t]!);
        countClipped(sums, cap(ratio, options.delta), advantage, options);
      }
      const term = clippedTerm(ratio, advantage, options);
      let value = term.value;
      // d rho / d logp is rho at the token level. At the sequence level it is rho / T for each of the sequence's T
      // tokens, and all of them carry the same term: the sum is rho again.
      let slope = term.slope * ratio;
      if (ref !== null) {
        const kl = tokenKl(logp, ref[t]!);
        sums.kl += kl.value;
        value += options.beta * kl.value;
        slope += options.beta * kl.gradient;
      }
      loss += weight * value;
      gradient[t] = weight * slope;
    }
    return gradient;
  });
  return { loss, dLogps, sums: { ...sums, kl: options.beta === 0 ? null : sums.kl } };
}

/**
 * The counts of one optimizer step from all its micro-batches.
 *
 * @param microBatches per micro-batch the lengths of its completions in tokens
 */
export function countStep(microBatches: readonly (readonly number[])[]): StepCounts {
  const lengths = microBatches.flat();
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return { sequences: lengths.length, tokens, microBatches: microBatches.length };
}

// --- internal ---

/** `-min(capped A, clipped A)` and its derivative by the ratio. At a tie each branch gives half, as in torch.min. */
function clippedTerm(ratio: number, advantage: number, options: LossOptions): { value: number; slope: number } {
  const low = 1 - options.epsilon;
  const high = 1 + options.epsilonHigh;
  const capped = cap(ratio, options.delta) * advantage;
  const clipped = Math.min(Math.max(ratio, low), high) * advantage;
  const cappedSlope = options.delta === null || ratio <= options.delta ? advantage : 0;
  const clippedSlope = ratio >= low && ratio <= high ? advantage : 0;
  const slope = capped < clipped ? cappedSlope : clipped < capped ? clippedSlope : (cappedSlope + clippedSlope) / 2;
  return { value: -Math.min(capped, clipped), slope: -slope };
}

function cap(ratio: number, delta: number | null): number {
  return delta === null ? ratio : Math.min(ratio, delta);
}

/** The weight of one token's loss in the step. */
function tokenWeight(options: LossOptions, step: StepCounts, sequenceTokens: number, microBatchTokens: number): number {
  switch (options.lossType) {
    case 'grpo':
      return 1 / (sequenceTokens * step.sequences);
    case 'bnpo':
      return 1 / (microBatchTokens * step.microBatches);
    case 'dr_grpo':
      return 1 / (step.sequences * options.maxCompletionLength);
    case 'dapo':
      return 1 / step.tokens;
  }
}

function meanLogRatio(logps: FloatArray, old: FloatArray | null): number {
  if (old === null) return 0;
  let sum = 0;
  for (let t = 0; t < logps.length; t++) sum += logps[t]! - old[t]!;
  return sum / logps.length;
}

/** TRL and ms-swift both count clipping on the ratio after the cap delta. */
function countClipped(
  sums: { ratios: number; lowClipped: number; highClipped: number },
  ratio: number,
  advantage: number,
  options: LossOptions,
): void {
  sums.ratios += 1;
  if (ratio < 1 - options.epsilon && advantage < 0) sums.lowClipped += 1;
  if (ratio > 1 + options.epsilonHigh && advantage > 0) sums.highClipped += 1;
}

function checkShapes(batch: LossBatch, options: LossOptions): void {
  const { logps, advantages } = batch;
  if (logps.length === 0) throw new Error('internal: a micro-batch without sequences');
  if (advantages.length !== logps.length) {
    throw new Error(`internal: ${logps.length} sequences with ${advantages.length} advantages`);
  }
  if (options.beta !== 0 && batch.refLogps === null) {
    throw new Error(`internal: beta is ${options.beta}, but there are no reference log-probabilities`);
  }
  for (const [name, other] of [
    ['old log-probabilities', batch.oldLogps],
    ['reference log-probabilities', batch.refLogps],
  ] as const) {
    if (other === null) continue;
    if (other.length !== logps.length) throw new Error(`internal: ${logps.length} sequences, ${name}: ${other.length}`);
    for (const [i, row] of logps.entries()) {
      if (other[i]!.length !== row.length) {
        throw new Error(`internal: sequence ${i} has ${row.length} tokens, ${name}: ${other[i]!.length}`);
      }
    }
  }
}
