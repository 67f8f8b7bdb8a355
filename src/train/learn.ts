/**
 * Learning from experience: the loss of a step's micro-batches and its gradients. Updates no weight.
 */

import type { RlhfArguments } from '../arguments/resolve.ts';
import type { Dropout } from '../engine/dropout.ts';
import type { ScoreOptions } from '../engine/scored_groups.ts';
import type { MicroBatch } from '../grpo/batching.ts';
import { highEntropyTokens } from '../grpo/high_entropy.ts';
import { countStep, grpoLoss, type LossSums } from '../grpo/loss.ts';
import { type Completion, completionsOf, logpsOf, type RolloutGroup } from '../grpo/rollout.ts';
import { type RolloutCorrectionOptions, rolloutCorrectionMetrics, rolloutWeights } from '../grpo/rollout_correction.ts';
import type { Metrics } from './events.ts';
import type { Experience, StepParts } from './experience.ts';
import { perceptionOptions } from './image_changes.ts';

/** What the forwards of one optimizer step gave. */
export interface Learned {
  /** The step's loss. */
  readonly loss: number;
  /** For the metrics, per micro-batch. */
  readonly sums: readonly LossSums[];
  /**
   * Entropies of the policy at each token [T] of the completions that were learned from; where a completion came twice,
   * those of the first time.
   */
  readonly entropies: ReadonlyMap<Completion, Float32Array>;
  /** Log-probabilities of completions whose weights are still those that sampled them: by sampling, and by a forward. */
  readonly sampling: { readonly sampled: readonly Float32Array[]; readonly scored: readonly Float32Array[] };
  /** With `--top_entropy_quantile`: the least entropy of a token that was learned from. Null if all tokens were. */
  readonly entropyThreshold: number | null;
  /** With `--rollout_importance_sampling_mode`: what it did. */
  readonly correctionMetrics: Metrics;
}

/**
 * Forward and backward of a step's micro-batches; gradients are added to their accumulators. A rollout that has a tape is
 * learned from without a forward, and its tape is spent.
 *
 * @param experiences by the number of their rollout
 * @param dropoutOf dropout of the inputs of adapters in a micro-batch's forward
 * Errors: those of the model; the signal's reason, between micro-batches
 */
export async function learn(
  microBatches: readonly MicroBatch[],
  experiences: ReadonlyMap<number, Experience>,
  { args, policy, journal, signal }: Pick<StepParts, 'args' | 'policy' | 'journal' | 'signal'>,
  dropoutOf: (microBatch: number) => Dropout | null = () => null,
): Promise<Learned> {
  const { model } = policy;
  const lessons = microBatches.map((microBatch) => lessonOf(microBatch, experiences.get(microBatch.rollout)!));
  const counted = lessons.map(({ groups }) =>
    completionsOf({ groups }).map(({ truncated }) => !(args.overlongFilter && truncated)),
  );
  const counts = countStep(
    lessons.map(({ groups }, i) => completionsOf({ groups }).map(({ ids }, k) => (counted[i]![k] ? ids.length : 0))),
  );
  const { threshold, policyWeights } = tokensToLearnFrom(lessons, args.topEntropyQuantile);
  // The KL is in the reward, or in the loss.
  const lossOptions = { ...args, beta: args.klInReward ? 0 : args.beta, perception: perceptionOptions(args) };
  const correction = rolloutCorrection(args);
  const corrected = { old: [] as Float32Array[], sampled: [] as Float32Array[], weights: [] as Float64Array[] };
  let loss = 0;
  const sums: LossSums[] = [];
  const entropies = new Map<Completion, Float32Array>();
  const sampling = { sampled: [] as Float32Array[], scored: [] as Float32Array[] };
  for (const [i, lesson] of lessons.entries()) {
    const { experience, groups, advantages, oldLogps, refLogps, changedLogps } = lesson;
    signal.throwIfAborted();
    const at = lessons.length === 1 ? {} : { done: i, total: lessons.length };
    const options: ScoreOptions = { temperature: args.temperature, keep: true, dropout: dropoutOf(i) };
    const scored =
      experience.rollout.tape !== null
        ? experience.rollout
        : await journal.time('forward', () => model.score(groups, options), at);
    for (const [k, completion] of completionsOf({ groups }).entries()) {
      const { logps, entropies: ofForward } = completionsOf(scored)[k]!;
      if (!entropies.has(completion)) entropies.set(completion, ofForward!);
      const { sampledLogps } = completion;
      // Rows that sampling has computed are not compared with themselves, nor with a forward that has dropout.
      if (oldLogps === null && sampledLogps !== undefined && sampledLogps !== logps && !options.dropout) {
        sampling.sampled.push(sampledLogps);
        sampling.scored.push(logps!);
      }
    }
    const rollouts = correction && correctedOf(groups, oldLogps ?? logpsOf(scored), correction);
    if (rollouts !== null) {
      for (const [k, isCounted] of counted[i]!.entries()) {
        if (!isCounted) continue;
        corrected.old.push(rollouts.old[k]!);
        corrected.sampled.push(rollouts.sampled[k]!);
        corrected.weights.push(rollouts.weights[k]!);
      }
    }
    const batch = {
      logps: logpsOf(scored),
      oldLogps,
      refLogps,
      advantages,
      counted: counted[i]!,
      policyWeights: product(policyWeights[i], lesson.tokenWeights),
      changedLogps,
      entropies: entropiesIn(scored),
      rolloutWeights: rollouts?.weights,
    };
    const result = grpoLoss(batch, lossOptions, counts);
    loss += result.loss;
    sums.push(result.sums);
    const { dLogps, dEntropies } = result;
    await journal.time(
      'backward',
      () => model.backward(scored.tape!, flatten(dLogps), dEntropies && flatten(dEntropies)),
      at,
    );
  }
  const { old, sampled, weights } = corrected;
  const correctionMetrics = correction === null ? {} : rolloutCorrectionMetrics(old, sampled, weights, correction);
  return { loss, sums, entropies, sampling, entropyThreshold: threshold, correctionMetrics };
}

/**
 * Entropies of the policy at each token of an experience, per completion [T_i]: those that it was collected with, else those
 * of learning; null for completions that neither has computed.
 */
export function entropiesOf(
  { rollout }: Pick<Experience, 'rollout'>,
  { entropies }: Pick<Learned, 'entropies'>,
): (Float32Array | null)[] {
  return completionsOf(rollout).map((completion) => completion.entropies ?? entropies.get(completion) ?? null);
}

// --- internal ---

/** Null without `--rollout_importance_sampling_mode`. */
function rolloutCorrection(
  args: Pick<RlhfArguments, 'rolloutImportanceSamplingMode' | 'rolloutImportanceSamplingThreshold'>,
): RolloutCorrectionOptions | null {
  const { rolloutImportanceSamplingMode: mode, rolloutImportanceSamplingThreshold: threshold } = args;
  return mode === null ? null : { mode, threshold };
}

/** Log-probabilities by a forward and by sampling, and the weights that make up for their difference [B][T_i]. */
function correctedOf(
  groups: readonly RolloutGroup[],
  old: readonly Float32Array[],
  options: RolloutCorrectionOptions,
): { old: readonly Float32Array[]; sampled: readonly Float32Array[]; weights: readonly Float64Array[] } {
  const sampled = completionsOf({ groups }).map(({ sampledLogps }) => {
    if (sampledLogps === undefined) throw new Error('internal: a completion without the log-probabilities of sampling');
    return sampledLogps;
  });
  return { old, sampled, weights: rolloutWeights(old, sampled, options) };
}

/** Entropies of completions that have been scored [B][T_i]. */
const entropiesIn = (scored: Pick<Experience['rollout'], 'groups'>): Float32Array[] =>
  completionsOf(scored).map(({ entropies }) => entropies!);

/** B completions of a micro-batch, cut out of their rollout, and what the loss knows of them. */
interface Lesson {
  readonly experience: Experience;
  readonly groups: readonly RolloutGroup[];
  /** [B] */
  readonly advantages: Float64Array;
  /** [B][T_i]; null where the micro-batch is on-policy: the ratio is 1. */
  readonly oldLogps: readonly Float32Array[] | null;
  readonly refLogps: readonly Float32Array[] | null;
  /** Null where the prompt has no image. */
  readonly changedLogps: readonly (Float32Array | null)[] | null;
  readonly tokenWeights: readonly Float32Array[] | null;
}

function lessonOf({ runs, onPolicy }: MicroBatch, experience: Experience): Lesson {
  const { rollout, advantages, oldLogps, refLogps, changedLogps, tokenWeights } = experience;
  const size = rollout.groups[0]!.completions.length;
  const pick = <T>(values: readonly T[]): T[] => runs.flatMap(({ begin, end }) => values.slice(begin, end));
  return {
    experience,
    groups: runs.map(({ group, begin, end }) => {
      const { prompt, completions } = rollout.groups[group]!;
      return { prompt, completions: completions.slice(begin - group * size, end - group * size) };
    }),
    advantages: Float64Array.from(pick([...advantages.advantages])),
    oldLogps: onPolicy || oldLogps === null ? null : pick(oldLogps),
    refLogps: refLogps && pick(refLogps),
    changedLogps: changedLogps && pick(changedLogps),
    tokenWeights: tokenWeights && pick(tokenWeights),
  };
}

/**
 * The tokens with the highest entropies among those of a step. Entropies are those of the policy that sampled, so that a
 * completion that is learned from again is learned from at the same tokens.
 */
function tokensToLearnFrom(
  lessons: readonly Lesson[],
  quantile: number,
): { threshold: number | null; policyWeights: readonly (readonly Float32Array[] | undefined)[] } {
  if (quantile === 1) return { threshold: null, policyWeights: lessons.map(() => undefined) };
  const entropies = lessons.map(({ groups }) =>
    completionsOf({ groups }).map(({ entropies }) => {
      if (entropies === undefined) throw new Error('internal: a completion has not been scored');
      return entropies;
    }),
  );
  const { threshold, weights } = highEntropyTokens(entropies.flat(), quantile);
  const remaining = [...weights];
  return { threshold, policyWeights: entropies.map(({ length }) => remaining.splice(0, length)) };
}

/** Weights of tokens from two sources, multiplied; undefined where neither has any. */
function product(
  a: readonly Float32Array[] | null | undefined,
  b: readonly Float32Array[] | null | undefined,
): readonly Float32Array[] | undefined {
  if (!a || !b) return a ?? b ?? undefined;
  return a.map((row, i) => row.map((weight, t) => weight * b[i]![t]!));
}

function flatten(rows: readonly Float64Array[]): Float32Array {
  const flat = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let next = 0;
  for (const row of rows) {
    flat.set(row, next);
    next += row.length;
  }
  return flat;
}
