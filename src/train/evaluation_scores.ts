/**
 * What an evaluation measures of completions besides rewards: the KL to the reference, and how much they depend on their images.
 * As in training, with log-probabilities at --temperature, whatever evaluations sample at.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { mapCompletions } from '../engine/groups.ts';
import { sequenceKls, tokenKl } from '../grpo/kl.ts';
import { completionsOf, logpsOf, type RolloutGroup } from '../grpo/rollout.ts';
import { mean } from '../grpo/statistics.ts';
import { visualDependence } from '../grpo/visual_dependence.ts';
import type { ChangedImageLogps } from '../rewards/contract.ts';
import type { Metrics } from './events.ts';
import { dependenceMetrics } from './perceive.ts';
import type { Policy } from './policy.ts';

type Scorer = Pick<Policy['model'], 'score'>;

/**
 * Gives completions the log-probabilities of the model at this temperature.
 *
 * @param sampledAt the temperature of scores that they may have from sampling
 */
export async function scoredGroups(
  groups: readonly RolloutGroup[],
  model: Scorer,
  { temperature, sampledAt }: { readonly temperature: number; readonly sampledAt: number },
): Promise<readonly RolloutGroup[]> {
  const isScored = completionsOf({ groups }).every(({ logps }) => logps !== undefined);
  if (isScored && temperature === sampledAt) return groups;
  const scored = logpsOf(await model.score(groups, { temperature, keep: false }));
  let next = 0;
  return mapCompletions(groups, (completion) => ({ ...completion, logps: scored[next++]! }));
}

export interface EvaluationScores {
  /** @param changes of the completions of `groups`, in order; null if nothing is compared with */
  add(groups: readonly RolloutGroup[], changes: readonly (ChangedImageLogps | null)[] | null): Promise<void>;
  /** Over all that was added: `kl`, with a reference; `perception/visual_kl_mean` and so on, with a comparison. */
  metrics(): Metrics;
}

/** @param reference null where there is none */
export function createEvaluationScores(
  { temperature, klInReward }: Pick<RlhfArguments, 'temperature' | 'klInReward'>,
  reference: Scorer | null,
): EvaluationScores {
  /** k3 of tokens, or k1 of sequences with --kl_in_reward: the numbers whose mean training logs. */
  const kls: number[] = [];
  const visualKls: (number | null)[] = [];
  const visualDrops: (number | null)[] = [];
  return {
    async add(groups, changes) {
      if (reference !== null) {
        const logps = logpsOf({ groups });
        const refLogps = logpsOf(await reference.score(groups, { temperature, keep: false }));
        const ofTokens = (row: Float32Array, i: number): number[] =>
          Array.from(row, (logp, t) => tokenKl(logp, refLogps[i]![t]!).value);
        for (const kl of klInReward ? sequenceKls(logps, refLogps) : logps.flatMap(ofTokens)) kls.push(kl);
      }
      for (const pair of changes ?? []) {
        const dependence = pair && visualDependence(pair.logps, pair.changed);
        visualKls.push(dependence?.kl ?? null);
        visualDrops.push(dependence?.drop ?? null);
      }
    },
    metrics() {
      const kl = mean(kls);
      return { ...(kl === null ? {} : { kl }), ...dependenceMetrics(visualKls, visualDrops) };
    },
  };
}
