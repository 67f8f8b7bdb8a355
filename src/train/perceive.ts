/**
 * From log-probabilities under changed images to what is logged and what learning uses: columns and metrics of visual
 * dependence, factors of advantages and weights of tokens (VPPO), together with those that rewards ask for.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { mean, present, sampleStd } from '../grpo/statistics.ts';
import { dependenceScales, dependentTokens, visualDependence } from '../grpo/visual_dependence.ts';
import type { ChangedImageLogps } from '../rewards/contract.ts';
import type { Json } from '../util/json.ts';
import type { Metrics } from './events.ts';
import type { LearningHooks } from './judge.ts';

export interface Perceived extends LearningHooks {
  /** Columns of completions: visual_kl, visual_drop. [N] */
  readonly columns: readonly (readonly [string, readonly Json[]])[];
  readonly metrics: Metrics;
}

/**
 * @param lengths of the completions in tokens [N]
 * @param pairs of the rollout's completions [N], null where the prompt has no image; null if nothing was compared
 * @param args VPPO's flags; null if no flag asks for the comparison
 */
export function perceive(
  lengths: readonly number[],
  pairs: readonly (ChangedImageLogps | null)[] | null,
  args: Pick<RlhfArguments, 'perceptionTokenRatio' | 'perceptionAdvantageMin'> | null,
  hooks: LearningHooks,
): Perceived {
  if (pairs === null) return { ...hooks, columns: [], metrics: {} };
  const dependence = pairs.map((pair) => pair && visualDependence(pair.logps, pair.changed));
  const kls = dependence.map((each) => each?.kl ?? null);
  const drops = dependence.map((each) => each?.drop ?? null);
  const least = args?.perceptionAdvantageMin ?? null;
  const ratio = args?.perceptionTokenRatio ?? 1;
  const { advantageScales: asked, tokenWeights } = hooks;
  const scales = least === null ? null : dependenceScales(kls, least);
  const weights =
    ratio === 1
      ? tokenWeights
      : dependence.map((each, i) => {
          const own = each === null ? new Float32Array(lengths[i]!).fill(1) : dependentTokens(each.kls, ratio);
          return own.map((weight, t) => weight * (tokenWeights === null ? 1 : tokenWeights[i]![t]!));
        });
  return {
    columns: [
      ['visual_kl', kls],
      ['visual_drop', drops],
    ],
    metrics: { ...described('perception/visual_kl', kls), ...described('perception/visual_drop', drops) },
    advantageScales:
      scales === null || asked === null ? (scales ?? asked) : scales.map((scale, i) => scale * asked[i]!),
    tokenWeights: weights,
  };
}

// --- internal ---

/** Mean and deviation; none without a value. */
function described(name: string, values: readonly (number | null)[]): Metrics {
  const known = present(values);
  const centre = mean(known);
  return centre === null ? {} : { [`${name}_mean`]: centre, [`${name}_std`]: sampleStd(known) };
}
