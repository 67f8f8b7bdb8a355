/**
 * The GRPO objective and its derivative by every token's log-probability, for one micro-batch of ragged sequences.
 * Knows log-probabilities, advantages and counts, not the model, its graph or the optimizer.
 *
 * Sources: Shao et al. 2024 (GRPO), Liu et al. 2025 (Dr. GRPO), Yu et al. 2025 (DAPO), Zheng et al. 2025 (GSPO, the
 * sequence ratio), DeepSeek-AI 2025 (DeepSeek-V3.2, the off-policy mask); ms-swift rlhf_trainers/grpo_trainer.py
 * `_compute_loss_and_metrics` and TRL trainer/grpo_trainer.py `_compute_loss`, whose values the tests compare with.
 * Differs from them in the step's exact denominators (see StepCounts) and from TRL in the clamped KL (kl.ts).
 */
import { entropyTerm } from './entropy_bonus.ts';
import { tokenKl } from './kl.ts';
import { type PerceptionOptions, perceptionTerm } from './perception_term.ts';
import {
  type Clipping,
  clippingOf,
  isClippedHigh,
  isClippedLow,
  type PolicyTermOptions,
  policyTerm,
} from './policy_term.ts';

export type FloatArray = Float32Array | Float64Array;

/**
 * One ratio per token, or one per sequence (the geometric mean of its tokens' ratios, GSPO). sequence_token has the value of
 * the sequence's ratio for every token, and the gradient of each token's own log-probability (GSPO-token).
 */
export type ImportanceSamplingLevel = 'token' | 'sequence' | 'sequence_token';

export interface LossOptions extends PolicyTermOptions {
  readonly importanceSamplingLevel: ImportanceSamplingLevel;
  /** Weight of the KL to the reference; 0 needs no reference. */
  readonly beta: number;
  /** dr_grpo's constant denominator, in tokens. */
  readonly maxCompletionLength: number;
  /** Sequences with a negative advantage are left out where the mean of old - logp exceeds it, in nats; null for none. */
  readonly offPolicySequenceMaskDelta: number | null;
  /** Weight of the entropy bonus; 0 or absent: none. */
  readonly entropyCoef?: number;
  /** PAPO's perception term; null or absent: none. */
  readonly perception?: PerceptionOptions | null;
}

/** One micro-batch: B sequences, the i-th with T_i completion tokens. */
export interface LossBatch {
  /** log-probability of each completion token under the policy. [B][T_i] */
  readonly logps: readonly FloatArray[];
  /** The same under the policy that sampled; null when that is the current policy (ratio exactly 1). [B][T_i] */
  readonly oldLogps: readonly FloatArray[] | null;
  /** The same under the reference; null only when beta is 0. [B][T_i] */
  readonly refLogps: readonly FloatArray[] | null;
  /** Entropy of the policy at each token, in nats; needed by the entropy bonus. [B][T_i] */
  readonly entropies?: readonly FloatArray[] | null | undefined;
  /** [B] */
  readonly advantages: ArrayLike<number>;
  /** Sequences that the loss counts; absent: all. The others have no gradient and are in no metric. [B] */
  readonly counted?: readonly boolean[] | undefined;
  /** Factor of each token's policy term, not of its KL; absent: 1. [B][T_i] */
  readonly policyWeights?: readonly FloatArray[] | undefined;
  /** Factor of each token's policy term and KL, against what sampling computed otherwise; absent: 1. [B][T_i] */
  readonly rolloutWeights?: readonly FloatArray[] | null | undefined;
  /** Log-probabilities under the changed image, for the perception term; null for a sequence without an image. [B][T_i] */
  readonly changedLogps?: readonly (FloatArray | null)[] | null | undefined;
}

/**
 * Counts of the whole optimizer step, for the denominators. They make the losses and gradients of a step's micro-batches sum
 * to those of the step in one batch, however it was split. (Not with bnpo, whose mean is over the micro-batch by definition.)
 */
export interface StepCounts {
  /** Sequences in the step, also those that the loss does not count. */
  readonly sequences: number;
  /** Completion tokens of the sequences that the loss counts (dapo, cispo). */
  readonly tokens: number;
  /** Micro-batches in the step, i.e. gradient accumulation steps (bnpo). */
  readonly microBatches: number;
}

/** Sums over one micro-batch, from which metrics.ts makes the logged means. */
export interface LossSums {
  readonly tokens: number;
  /** Sum of the token KL; null without a reference. */
  readonly kl: number | null;
  /** The perception term's KL, summed over the tokens of sequences with an image; null without the term. */
  readonly perception: { readonly kl: number; readonly tokens: number } | null;
  readonly clipping: Clipping;
  /** Ratios that could be clipped: tokens, or sequences at the sequence level. */
  readonly ratios: number;
  /** Ratios below 1 - epsilon with a negative advantage. */
  readonly lowClipped: number;
  /** Ratios above 1 + epsilonHigh (cispo: epsilonHigh) with a positive advantage. */
  readonly highClipped: number;
  /** Sequences that the off-policy mask left out; null without the mask. */
  readonly offPolicy: number | null;
  readonly sequences: number;
}

export interface LossResult {
  /** This micro-batch's share of the step's loss; the step's loss is the sum over its micro-batches. */
  readonly loss: number;
  /** Derivative of that share by each token's log-probability. [B][T_i] */
  readonly dLogps: Float64Array[];
  /** The same by each token's entropy; null without an entropy bonus. [B][T_i] */
  readonly dEntropies: Float64Array[] | null;
  readonly sums: LossSums;
}

/**
 * Loss, gradient and metric sums of one micro-batch.
 *
 * Per token: `v_t (w_t P(rho, logp, A) + beta KL_t)`, with the policy term P of policy_term.ts, the token's weight w_t, that of
 * rollout_correction.ts v_t, the perception term of perception_term.ts if there is one, and
 * `rho = exp(logp - old)` per token or `exp(mean_t(logp - old))` per sequence; then the loss type's weighted sum. The term of
 * entropy_bonus.ts is added to it.
 *
 * @throws internal errors: lengths that do not agree; beta without reference log-probabilities
 */
export function grpoLoss(batch: LossBatch, options: LossOptions, step: StepCounts): LossResult {
  checkShapes(batch, options);
  const { importanceSamplingLevel: level, beta } = options;
  const meanRatios = batch.logps.map((logps, i) => meanLogRatio(logps, batch.oldLogps?.[i] ?? null));
  const isOff = meanRatios.map((mean, i) => isOffPolicy(mean, batch.advantages[i]!, options));
  const counts = batch.logps.map((_, i) => (batch.counted?.[i] ?? true) && !isOff[i]);
  const microBatchTokens = batch.logps.reduce((sum, { length }, i) => sum + (counts[i] ? length : 0), 0);
  const sums = { tokens: microBatchTokens, kl: 0, ratios: 0, lowClipped: 0, highClipped: 0 };
  const perceived = { kl: 0, tokens: 0 };
  let loss = 0;

  const dLogps = batch.logps.map((logps, i) => {
    const gradient = new Float64Array(logps.length);
    if (!counts[i]) return gradient;
    const old = batch.oldLogps?.[i] ?? null;
    const ref = beta === 0 ? null : batch.refLogps![i]!;
    const advantage = batch.advantages[i]!;
    const weight = tokenWeight(options, step, logps.length, microBatchTokens);
    const rolloutWeights = batch.rolloutWeights?.[i] ?? null;
    const policyWeights = product(batch.policyWeights?.[i] ?? null, rolloutWeights);
    const meanWeight = policyWeights === null ? 1 : mean(policyWeights);
    const sequenceRatio = Math.exp(meanRatios[i]!);
    if (level === 'sequence') count(sums, sequenceRatio, advantage, options);
    const changed = batch.changedLogps?.[i] ?? null;
    const perception = options.perception && changed && perceptionTerm(logps, changed, options.perception);
    if (perception) {
      perceived.kl += perception.kl;
      perceived.tokens += logps.length;
    }

    for (let t = 0; t < logps.length; t++) {
      const logp = logps[t]!;
      const ofToken = level === 'token' ? (old === null ? 1 : Math.exp(logp - old[t]!)) : sequenceRatio;
      if (level !== 'sequence') count(sums, ofToken, advantage, options);
      const policyWeight = policyWeights === null ? 1 : policyWeights[t]!;
      const term = policyTerm(ofToken, logp, advantage, options);
      let value = policyWeight * term.value;
      // d rho / d logp is rho for a token's ratio. A sequence's ratio depends on each of its T log-probabilities by rho / T,
      // and all T terms carry it: their sum has the mean of the policy weights.
      const ratioWeight = level === 'sequence' ? meanWeight : policyWeight;
      let slope = ratioWeight * term.byRatio * ofToken + policyWeight * term.byLogp;
      if (ref !== null) {
        const kl = tokenKl(logp, ref[t]!);
        sums.kl += kl.value;
        const klWeight = rolloutWeights === null ? beta : beta * rolloutWeights[t]!;
        value += klWeight * kl.value;
        slope += klWeight * kl.gradient;
      }
      if (perception) {
        value += perception.values[t]!;
        slope += perception.gradients[t]!;
      }
      loss += weight * value;
      gradient[t] = weight * slope;
    }
    return gradient;
  });
  const bonus = entropyTerm(batch.entropies ?? null, counts, options.entropyCoef ?? 0, step.tokens);
  return {
    loss: loss + bonus.value,
    dLogps,
    dEntropies: bonus.gradients,
    sums: {
      ...sums,
      kl: beta === 0 ? null : sums.kl,
      perception: options.perception ? perceived : null,
      clipping: clippingOf(options.lossType),
      sequences: batch.logps.length,
      offPolicy: options.offPolicySequenceMaskDelta === null ? null : isOff.filter(Boolean).length,
    },
  };
}

/**
 * The counts of one optimizer step from all its micro-batches.
 *
 * @param microBatches per micro-batch the lengths of its completions in tokens; 0 for one that the loss does not count
 */
export function countStep(microBatches: readonly (readonly number[])[]): StepCounts {
  const lengths = microBatches.flat();
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return { sequences: lengths.length, tokens, microBatches: microBatches.length };
}

// --- internal ---

/** The weight of one token's loss in the step. */
function tokenWeight(options: LossOptions, step: StepCounts, sequenceTokens: number, microBatchTokens: number): number {
  switch (options.lossType) {
    case 'grpo':
    case 'sapo':
      return 1 / (sequenceTokens * step.sequences);
    case 'bnpo':
      return 1 / (microBatchTokens * step.microBatches);
    case 'dr_grpo':
      return 1 / (step.sequences * options.maxCompletionLength);
    case 'dapo':
    case 'cispo':
      return 1 / step.tokens;
  }
}

/** The mean of logp - old over a sequence; 0 without old log-probabilities, and for an empty sequence. */
function meanLogRatio(logps: FloatArray, old: FloatArray | null): number {
  if (old === null || logps.length === 0) return 0;
  let sum = 0;
  for (let t = 0; t < logps.length; t++) sum += logps[t]! - old[t]!;
  return sum / logps.length;
}

/** A sequence that was worse than its group and that the policy has moved away from. Its gradient says little by now. */
function isOffPolicy(meanRatio: number, advantage: number, options: LossOptions): boolean {
  const { offPolicySequenceMaskDelta: limit } = options;
  return limit !== null && advantage < 0 && -meanRatio > limit;
}

function count(
  sums: { ratios: number; lowClipped: number; highClipped: number },
  ratio: number,
  advantage: number,
  options: LossOptions,
): void {
  sums.ratios += 1;
  if (isClippedLow(ratio, advantage, options)) sums.lowClipped += 1;
  if (isClippedHigh(ratio, advantage, options)) sums.highClipped += 1;
}

/** Weights of tokens from two sources, multiplied; null where neither has any. */
function product(a: FloatArray | null, b: FloatArray | null): FloatArray | null {
  if (a === null || b === null) return a ?? b;
  return Float64Array.from(a, (weight, t) => weight * b[t]!);
}

function mean(values: FloatArray): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function checkShapes(batch: LossBatch, options: LossOptions): void {
  const { logps, advantages, counted } = batch;
  if (logps.length === 0) throw new Error('internal: a micro-batch without sequences');
  if (advantages.length !== logps.length) {
    throw new Error(`internal: ${logps.length} sequences with ${advantages.length} advantages`);
  }
  if (counted !== undefined && counted.length !== logps.length) {
    throw new Error(`internal: ${logps.length} sequences, of which ${counted.length} are counted or not`);
  }
  if (options.beta !== 0 && batch.refLogps === null) {
    throw new Error(`internal: beta is ${options.beta}, but there are no reference log-probabilities`);
  }
  for (const [name, other] of [
    ['old log-probabilities', batch.oldLogps],
    ['reference log-probabilities', batch.refLogps],
    ['policy weights', batch.policyWeights ?? null],
    ['entropies', batch.entropies ?? null],
    ['rollout weights', batch.rolloutWeights ?? null],
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
