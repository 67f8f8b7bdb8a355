/**
 * Experience: a rollout with its rewards and advantages, and the log-probabilities that its loss compares with.
 * Collects it and describes it; does not learn.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { mapCompletions } from '../engine/groups.ts';
import type { LayerProbe } from '../engine/scored_groups.ts';
import { type GroupAdvantages, groupAdvantages } from '../grpo/advantages.ts';
import type { BatchPlan } from '../grpo/batching.ts';
import { sequenceKls } from '../grpo/kl.ts';
import { completionMetrics, entropyMetrics, rewardMetrics } from '../grpo/metrics.ts';
import {
  type Completion,
  type CompletionSampler,
  completionsOf,
  logpsOf,
  type Rollout,
  type RolloutGroup,
  type RolloutPrompt,
  rollout,
} from '../grpo/rollout.ts';
import { planScores, type ScorePlan } from '../grpo/score_plan.ts';
import { mean } from '../grpo/statistics.ts';
import type { ComparedLogps } from '../grpo/visual_dependence.ts';
import { type ImageTransform, nameOfTransform } from '../models/image_transform.ts';
import { attentionNeedsOf } from '../rewards/needs.ts';
import { plural } from '../util/plural.ts';
import { attentionMetrics } from './attention_metrics.ts';
import { measureAttention, probedSpans } from './attention_needs.ts';
import { type JudgedRollout, replaceEqualGroups } from './dynamic_sampling.ts';
import type { Metrics } from './events.ts';
import { comparedImage, type ImageChanges, scoreImageChanges, wantedTransforms } from './image_changes.ts';
import { countTokens, type Journal } from './journal.ts';
import { attentionProbe, type Judged, type JudgeOptions, judge, type LearningHooks, loggedProbe } from './judge.ts';
import type { MovingReference } from './moving_reference.ts';
import { perceive } from './perceive.ts';
import { dropoutRate, type Policy } from './policy.ts';
import type { HackingWatch } from './reward_hacking.ts';
import { signalMetrics } from './signals.ts';

/** A rollout of N completions as it is learned from. Arrays per completion are in the order of its groups. */
export interface Experience {
  readonly rollout: Rollout;
  /** With `--kl_in_reward`, the totals are those after the KL, and its mean is one of the metrics. */
  readonly judged: Judged;
  readonly advantages: GroupAdvantages;
  /** Log-probabilities under the weights that sampled [N][T_i]; null where every update is on-policy. */
  readonly oldLogps: readonly Float32Array[] | null;
  /** Log-probabilities under the reference [N][T_i]; null without one. */
  readonly refLogps: readonly Float32Array[] | null;
  /** The same under changed images, for the perception term; null where the prompt has no image, or without it. */
  readonly changedLogps: readonly (Float32Array | null)[] | null;
  /** Factors of the tokens' policy losses [N][T_i]; null if there are none. */
  readonly tokenWeights: readonly Float32Array[] | null;
}

/** What the steps of a run work with. All of it stays the same during the run, except the policy's weights. */
export interface StepParts {
  readonly args: RlhfArguments;
  /** How completions flow from rollouts into optimizer steps. */
  readonly plan: BatchPlan;
  /** The model that is trained: it samples, scores and learns. */
  readonly policy: Policy;
  /** The weights that the KL compares with, at first those that training started from; null where beta is 0. */
  readonly reference: Pick<Policy, 'model'> | null;
  /** The reference, if it follows the policy. */
  readonly moving: MovingReference | null;
  readonly sampler: CompletionSampler;
  /** The rewards, and what they are told after so many steps. */
  readonly judging: (stepsDone: number) => JudgeOptions;
  /** Hears how long each part of a step takes. */
  readonly journal: Journal;
  /** Stops the run between two parts of a step. */
  readonly signal: AbortSignal;
}

/**
 * Samples a rollout, scores what has to be scored before the rewards, and judges it.
 *
 * @param number of the rollout in the run, from 0
 * @param done optimizer steps done before it
 * @param more takes prompts for another batch, for `--dynamic_sample`; null: groups with equal rewards stay
 * Errors: those of the generator, the model and the rewards; the signal's reason
 */
export async function collect(
  prompts: readonly RolloutPrompt[],
  number: number,
  done: number,
  parts: StepParts,
  more: (() => Promise<readonly RolloutPrompt[]>) | null,
): Promise<Experience> {
  const { args, plan, reference, journal } = parts;
  const penalises = args.klInReward && reference !== null;
  const judging = parts.judging(done);
  const compared = comparedImage(args);
  const transforms = wantedTransforms(args, judging.rewards);
  const plannedFor = (probe: LayerProbe | undefined): ScorePlan =>
    planScores(plan, number, {
      reuseRollout: args.reuseRollout && !parts.policy.samplesRounded,
      needsScores: probe !== undefined || penalises || args.topEntropyQuantile < 1 || transforms.length > 0,
      hasDropout: dropoutRate(parts.policy) > 0,
    });
  const sampleAndJudge = async (batch: readonly RolloutPrompt[], name: string): Promise<JudgedRollout> => {
    const tools = { ...judging, model: parts.policy.model, template: parts.sampler.template };
    const wanted = attentionProbe(batch, judging, probedSpans(batch, tools));
    const scores = plannedFor(wanted);
    const isLogged = args.logAttention && judging.attnProbe !== 'eager';
    const probe = wanted ?? (isLogged ? loggedProbe(batch, judging) : undefined);
    const rollout = await sampleAndScore(batch, name, { scores, probe }, parts);
    const changes = await changesOf(rollout, transforms, name, parts);
    const attention =
      attentionNeedsOf(judging.rewards).length === 0
        ? new Map()
        : await journal.time('attention', () => measureAttention(rollout.groups, tools));
    const { hooks, ...judged } = await journal.time('reward', () =>
      judge(rollout.groups, judging, { changes, attention }),
    );
    const comparisons = transforms.length === 0 ? null : changes.get(nameOfTransform(transforms[0]!))!;
    return { rollout: { ...rollout, groups: withMeasured(rollout.groups, comparisons, hooks) }, judged };
  };
  const first = await sampleAndJudge(prompts, `rollout ${number}`);
  const { rollout: sampled, judged } =
    args.dynamicSample && more !== null
      ? await withDifferences(first, number, parts, async (name) => sampleAndJudge(await more(), name))
      : first;
  const { temperature } = args;
  const { imageTokenId, videoTokenId } = parts.policy.modelConfig;
  const attention = args.logAttention ? attentionMetrics(sampled.groups, [imageTokenId, videoTokenId]) : {};
  const refLogps =
    reference &&
    (await journal.time('reference', async () =>
      logpsOf(await reference.model.score(sampled.groups, { temperature, keep: false })),
    ));
  const perceived = perceive(completionsOf(sampled), compared === null ? null : args);
  const kls = penalises ? sequenceKls(logpsOf(sampled), refLogps!) : null;
  const totals =
    kls === null
      ? judged.totals
      : judged.totals.map((total, i) => (total === null ? null : total - args.beta * kls[i]!));
  const table = {
    values: judged.columns.map(({ values }) => values),
    weights: judged.columns.map(({ weight }) => weight),
  };
  return {
    rollout: sampled,
    judged: {
      ...judged,
      totals,
      metrics: { ...attention, ...judged.metrics, ...(kls === null ? {} : { kl: mean(kls)! }), ...perceived.metrics },
      extras: new Map([...judged.extras, ...perceived.columns]),
    },
    advantages: scaledBy(groupAdvantages(totals, plan.numGenerations, args, table), perceived.advantageScales),
    oldLogps: plannedFor(undefined).old ? logpsOf(sampled) : null,
    refLogps,
    changedLogps:
      compared === null ? null : completionsOf(sampled).map((completion) => completion.compared?.changed ?? null),
    tokenWeights: perceived.tokenWeights,
  };
}

/**
 * Metrics of one rollout: rewards, lengths, entropies and what the rewards logged.
 *
 * @param entropies per completion [T_i], null where none was computed: see `Learned`
 * @param hacking sees every rollout of the run once, in order
 */
export function experienceMetrics(
  { rollout, judged, advantages }: Experience,
  entropies: readonly (Float32Array | null)[],
  hacking: HackingWatch,
): { metrics: Metrics; warnings: readonly string[] } {
  const completions = completionsOf(rollout);
  const named = judged.columns.map(({ label, values }) => ({ name: label, values }));
  const correlations = hacking.observe(judged, rollout.groups[0]!.completions.length);
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

// --- internal ---

async function changesOf(
  { groups }: Rollout,
  transforms: readonly ImageTransform[],
  name: string,
  { args, policy, sampler, journal }: StepParts,
): Promise<ImageChanges> {
  if (transforms.length === 0) return new Map();
  return journal.time('changed image', () =>
    scoreImageChanges(groups, transforms, {
      model: policy.model,
      temperature: args.temperature,
      visionTokenIds: sampler.template.visionTokenIds,
      random: sampler.random.fork(`changed images of ${name}`),
    }),
  );
}

function scaledBy(advantages: GroupAdvantages, scales: Float64Array | null): GroupAdvantages {
  if (scales === null) return advantages;
  return { ...advantages, advantages: advantages.advantages.map((advantage, i) => advantage * scales[i]!) };
}

/** Completions with what was measured of them and what rewards ask of learning, so that both follow a group that is kept. */
function withMeasured(
  groups: readonly RolloutGroup[],
  comparisons: readonly (ComparedLogps | null)[] | null,
  { advantageScales, tokenWeights }: LearningHooks,
): RolloutGroup[] {
  let next = 0;
  return mapCompletions(groups, (completion) => {
    const i = next++;
    return {
      ...completion,
      ...(comparisons === null ? {} : { compared: comparisons[i]! }),
      ...(advantageScales === null ? {} : { advantageScale: advantageScales[i]! }),
      ...(tokenWeights === null ? {} : { tokenWeights: tokenWeights[i]! }),
    };
  });
}

/** Dynamic sampling, and what it says about itself. */
async function withDifferences(
  first: JudgedRollout,
  number: number,
  { args, judging, journal }: StepParts,
  draw: (name: string) => Promise<JudgedRollout>,
): Promise<JudgedRollout> {
  const { rollout, judged, batches, isComplete } = await replaceEqualGroups(first, args.maxResampleTimes, (batch) =>
    draw(`rollout ${number}, batch ${batch}`),
  );
  if (!isComplete) {
    await journal.notice(
      'warn',
      `dynamic sampling: after ${plural(batches, 'batch', 'batches')} of prompts too few groups have rewards that differ; the first batch is used as it is`,
    );
  }
  const signals = signalMetrics(judging(0).rewards, [judged]);
  return { rollout, judged: { ...judged, metrics: { ...judged.metrics, ...signals, num_gen_batches: batches } } };
}

/** The sampler's scores differ from those that learning will compute. */
const withoutScores = ({ logps: _, entropies: __, ...completion }: Completion): Completion => completion;

/** Completions with scores, unless these will come from learning. */
async function sampleAndScore(
  prompts: readonly RolloutPrompt[],
  name: string,
  { scores, probe }: { readonly scores: ScorePlan; readonly probe: LayerProbe | undefined },
  { args, policy, sampler, journal, signal }: StepParts,
): Promise<Rollout> {
  // For the log alone no forward is run: sampling measures attention, too.
  const kept = scores.from === 'sampling' ? { keep: true, probe } : scores.from === 'learning' ? { probe } : {};
  const sampled = await journal.time('rollout', (tell) =>
    rollout(prompts, sampler, { name, ...kept, signal, onTokens: countTokens(tell) }),
  );
  if (scores.from === 'sampling') return sampled;
  if (scores.from === 'learning') return { ...sampled, groups: mapCompletions(sampled.groups, withoutScores) };
  const options = { temperature: args.temperature, keep: scores.tape, probe };
  return journal.time('forward', () => policy.model.score(sampled.groups, options));
}
