/**
 * From log-probabilities under changed images to what is logged and what learning uses: columns and metrics of visual
 * dependence, factors of advantages and weights of tokens (VPPO), together with those that rewards ask for.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import type { Completion } from '../grpo/rollout.ts';
import { mean, present, sampleStd } from '../grpo/statistics.ts';
import {
  dependenceScales,
  dependentTokens,
  type VisualDependence,
  visualDependence,
} from '../grpo/visual_dependence.ts';
import type { Json } from '../util/json.ts';
import type { Metrics } from './events.ts';
import type { LearningHooks } from './judge.ts';

export interface Perceived extends LearningHooks {
  /** Columns of completions: visual_kl, visual_drop. [N] */
  readonly columns: readonly (readonly [string, readonly Json[]])[];
  readonly metrics: Metrics;
}

/**
 * @param completions of a rollout, with their log-probabilities under a changed image if one was compared with, and what rewards
 * asked for [N]
 * @param args VPPO's flags; null if no flag asks for the comparison
 */
export function perceive(
  completions: readonly Completion[],
  args: Pick<RlhfArguments, 'perceptionTokenRatio' | 'perceptionAdvantageMin'> | null,
): Perceived {
  const dependence = completions.map(({ compared }) => compared && visualDependence(compared.logps, compared.changed));
  const kls = dependence.map((each) => each?.kl ?? null);
  const drops = dependence.map((each) => each?.drop ?? null);
  const wasCompared = completions.some(({ compared }) => compared !== undefined);
  return {
    columns: wasCompared
      ? [
          ['visual_kl', kls],
          ['visual_drop', drops],
        ]
      : [],
    metrics: dependenceMetrics(kls, drops),
    advantageScales: scalesOf(completions, kls, args?.perceptionAdvantageMin ?? null),
    tokenWeights: weightsOf(completions, dependence, args?.perceptionTokenRatio ?? 1),
  };
}

/**
 * Means and deviations over completions of `VisualDependence`; no key without a value.
 *
 * @param kls null for a completion without an image [N]
 * @param drops the same [N]
 */
export function dependenceMetrics(kls: readonly (number | null)[], drops: readonly (number | null)[]): Metrics {
  return { ...described('perception/visual_kl', kls), ...described('perception/visual_drop', drops) };
}

// --- internal ---

/** Factors of VPPO and of rewards, multiplied [N]; null if there are none. */
function scalesOf(
  completions: readonly Completion[],
  kls: readonly (number | null)[],
  least: number | null,
): Float64Array | null {
  if (least === null && completions.every(({ advantageScale }) => advantageScale === undefined)) return null;
  const own = least === null ? null : dependenceScales(kls, least);
  return Float64Array.from(completions, ({ advantageScale = 1 }, i) => advantageScale * (own === null ? 1 : own[i]!));
}

/** The same for the weights of tokens. [N][T_i] */
function weightsOf(
  completions: readonly Completion[],
  dependence: readonly (VisualDependence | null | undefined)[],
  ratio: number,
): Float32Array[] | null {
  if (ratio === 1 && completions.every(({ tokenWeights }) => tokenWeights === undefined)) return null;
  return completions.map(({ ids, tokenWeights }, i) => {
    const each = dependence[i];
    const own = ratio === 1 || !each ? new Float32Array(ids.length).fill(1) : dependentTokens(each.kls, ratio);
    return tokenWeights === undefined ? own : own.map((weight, t) => weight * tokenWeights[t]!);
  });
}

/** Mean and deviation; none without a value. */
function described(name: string, values: readonly (number | null)[]): Metrics {
  const known = present(values);
  const centre = mean(known);
  return centre === null ? {} : { [`${name}_mean`]: centre, [`${name}_std`]: sampleStd(known) };
}
