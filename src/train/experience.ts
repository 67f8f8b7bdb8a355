/**
 * Experience: completions of a rollout with their rewards and advantages, and what learning from them needs.
 * Collects it; does not learn.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import type { Generator } from '../engine/generation.ts';
import type { Group } from '../engine/groups.ts';
import type { LayerProbe, Scored } from '../engine/model.ts';
import { type GroupAdvantages, groupAdvantages } from '../grpo/advantages.ts';
import { type BatchPlan, oldLogpsNeeded } from '../grpo/batching.ts';
import { completionMetrics, entropyMetrics, rewardMetrics } from '../grpo/metrics.ts';
import { type RolloutGroup, type RolloutTools, rollout, type Sampling } from '../grpo/rollout.ts';
import type { Random } from '../util/random.ts';
import type { Metrics } from './events.ts';
import { countTokens, type Journal } from './journal.ts';
import { attentionProbe, type Judged, type JudgeOptions, judge } from './judge.ts';
import { dropoutRate, type Policy } from './policy.ts';
import type { PromptOfRow } from './prompts.ts';
import type { HackingWatch } from './reward_hacking.ts';

/** A rollout as the loop learns from it. Per-completion arrays are in the order of its groups. */
export interface Experience {
  readonly groups: readonly RolloutGroup[];
  readonly judged: Judged;
  readonly advantages: GroupAdvantages;
  /** Of each token, from the first forward that has them; null before it. */
  readonly entropies: (Float32Array | null)[];
  /** Log-probabilities under the weights that sampled; null where no micro-batch is off-policy. */
  readonly oldLogps: readonly Float32Array[] | null;
  readonly refLogps: readonly Float32Array[] | null;
  /** The forward of the whole rollout, if it is the one that is learned from. */
  scored: Scored | null;
}

export interface Collector {
  readonly args: RlhfArguments;
  readonly plan: BatchPlan;
  readonly policy: Policy;
  readonly reference: Pick<Policy, 'model'> | null;
  readonly generator: Generator;
  readonly sampling: Sampling;
  readonly random: Random;
  readonly journal: Journal;
  readonly judging: (step: number) => JudgeOptions;
  readonly signal: AbortSignal;
}

/** Samples a rollout, scores what has to be scored before the rewards, judges it. */
export async function collect(
  prompts: readonly PromptOfRow[],
  number: number,
  step: number,
  collector: Collector,
): Promise<Experience> {
  const { args, plan, policy, reference, generator, random, journal, judging, signal } = collector;
  const { template } = policy;
  const options = judging(step);
  const probe = attentionProbe(prompts, options, policy.config);
  // One micro-batch a step, and one step a rollout: what is scored here is what is learned from, unless by a forward with
  // dropout, which neither sampling nor scoring has.
  const learnsFromThis =
    plan.microBatchesPerStep === 1 &&
    plan.microBatchesPerRollout === 1 &&
    plan.numIterations === 1 &&
    dropoutRate(policy) === 0;
  const needsOld = oldLogpsNeeded(plan, number).some(Boolean);
  const tools = { generator, template, random: random.fork(`rollout ${number}`), signal };
  const { groups, scored } = await sampleAndScore(prompts, tools, collector, {
    learnsFromThis,
    isNeeded: learnsFromThis || needsOld || probe !== undefined,
    probe,
  });
  const packed = groups.map(toGroup);
  const refLogps =
    reference === null
      ? null
      : await journal.time('reference', async () =>
          logpsOf(await reference.model.score(packed, { temperature: args.temperature, keep: false })),
        );

  const judged = await journal.time('reward', () =>
    judge(groups, probe === undefined ? null : scored!.completions, options),
  );
  const advantages = groupAdvantages(judged.totals, plan.numGenerations, args);
  return {
    groups,
    judged,
    advantages,
    entropies: scored === null ? packed.flatMap(({ completions }) => completions.map(() => null)) : entropiesOf(scored),
    oldLogps: needsOld ? logpsOf(scored!) : null,
    refLogps,
    scored: learnsFromThis ? scored : null,
  };
}

/** What a rollout says about rewards, lengths and entropy, before anything is learned from it. */
export function experienceMetrics(
  { groups, judged, advantages, entropies }: Experience,
  hacking: HackingWatch,
): { metrics: Metrics; warnings: readonly string[] } {
  const completions = groups.flatMap((group) => group.completions);
  const named = judged.columns.map(({ label, values }) => ({ name: label, values }));
  const correlations = hacking.observe(judged, groups[0]!.completions.length);
  return {
    metrics: {
      ...rewardMetrics(judged.totals, advantages, named),
      ...completionMetrics(
        completions.map(({ ids }) => ids.length),
        completions.map(({ truncated }) => truncated),
      ),
      ...entropyMetrics(entropies.filter((entropy) => entropy !== null)),
      ...judged.metrics,
      ...correlations.metrics,
    },
    warnings: correlations.warnings,
  };
}

/** A rollout's group as the model takes it. */
export const toGroup = ({ prompt, completions }: RolloutGroup): Group => ({
  promptIds: prompt.ids,
  images: prompt.images,
  completions: completions.map(({ ids }) => ids),
});

const logpsOf = ({ completions }: Scored): Float32Array[] => completions.flat().map(({ logps }) => logps.slice());

/** Copies: the model's arrays are views of one that the next forward replaces. */
export const entropiesOf = ({ completions }: Scored): Float32Array[] =>
  completions.flat().map(({ entropies }) => entropies.slice());

// --- internal ---

/** Completions, and their scores if somebody needs them: out of the rollout itself, or from a forward. */
async function sampleAndScore(
  prompts: readonly PromptOfRow[],
  tools: RolloutTools,
  { args, policy, sampling, journal }: Collector,
  want: { readonly learnsFromThis: boolean; readonly isNeeded: boolean; readonly probe: LayerProbe | undefined },
): Promise<{ groups: RolloutGroup[]; scored: Scored | null }> {
  const keep = want.learnsFromThis && args.reuseRollout;
  const { groups, ...sampled } = await journal.time('rollout', (tell) =>
    rollout(prompts, sampling, { ...tools, ...(keep ? { keep, probe: want.probe } : {}), onTokens: countTokens(tell) }),
  );
  if (keep) return { groups, scored: sampled };
  if (!want.isNeeded) return { groups, scored: null };
  const options = { temperature: args.temperature, keep: want.learnsFromThis, probe: want.probe };
  return { groups, scored: await journal.time('forward', () => policy.model.score(groups.map(toGroup), options)) };
}
