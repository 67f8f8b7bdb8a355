/**
 * Puts completions before the rewards: gathers what their contract promises, runs them, and collects what they log.
 * Knows the contract's names, not what a reward measures or how its values are used.
 */

import { type MassProbe, massesOf, massProbe, type ProbedSpans } from '../attention/probe.ts';
import { combineRewards, type RewardValue } from '../grpo/advantages.ts';
import type { Completion, RolloutGroup, RolloutPrompt } from '../grpo/rollout.ts';
import type { ModelConfig, NormBbox } from '../models/architecture.ts';
import type { PolicyModel } from '../models/types.ts';
import { columnArrays } from '../rewards/columns.ts';
import type { AttnProbe, RewardKwargs, RewardLogger } from '../rewards/contract.ts';
import type { FailureRule } from '../rewards/deadline.ts';
import { PLAIN_TEMPLATE } from '../rewards/plain_template.ts';
import type { Reward } from '../rewards/reward.ts';
import { type RewardColumn, runRewards } from '../rewards/run.ts';
import { type Json, toJson } from '../util/json.ts';
import type { AttentionMeasures } from './attention_needs.ts';
import type { ImageChanges } from './image_changes.ts';
import { signalMetrics } from './signals.ts';

export interface Judged {
  readonly columns: readonly RewardColumn[];
  /** Per completion, the weighted sum of its rewards; null where it cannot be compared with its group. [N] */
  readonly totals: readonly RewardValue[];
  /** Numbers that the rewards logged, and means and deviations of their signals. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Columns that the rewards logged, by name: one value per completion. [N] */
  readonly extras: ReadonlyMap<string, readonly Json[]>;
}

/** What rewards ask of learning, besides their values. */
export interface LearningHooks {
  /** Product of the factors of `scale_advantages`; null without a call. [N] */
  readonly advantageScales: Float64Array | null;
  /** Product of the weights of `weigh_tokens`; null without a call. [N][T_i] */
  readonly tokenWeights: readonly Float32Array[] | null;
}

/** What judging reads of the model's config. */
type JudgedModelConfig = Pick<ModelConfig, 'imageTokenId' | 'videoTokenId'> & {
  readonly text: Pick<ModelConfig['text'], 'numHiddenLayers'>;
};

/** What rewards ask to be measured. */
export interface Measured {
  readonly changes?: ImageChanges;
  readonly attention?: AttentionMeasures;
}

export interface JudgeOptions {
  readonly rewards: readonly Reward[];
  readonly model: PolicyModel & { readonly modelConfig: JudgedModelConfig };
  readonly attnProbe: AttnProbe;
  /** Unit in which the model writes boxes. */
  readonly normBbox: NormBbox;
  /** Time limit of rewards, and the rule for those that fail. */
  readonly rule?: FailureRule;
  readonly logger: RewardLogger;
  /** Optimizer steps done, and those of the whole run: rewards are told both. */
  readonly step: number;
  readonly maxSteps: number;
  /** Ends the wait for rewards, with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Runs the rewards on the completions of a rollout, and sums their values.
 *
 * @param measured what `scoreImageChanges` and `measureAttention` found out about the completions
 * @throws SightlineError of a reward that throws or returns what it must not; the signal's reason
 */
export async function judge(
  groups: readonly RolloutGroup[],
  options: JudgeOptions,
  { changes = new Map(), attention = new Map() }: Measured = {},
): Promise<Judged & { readonly hooks: LearningHooks }> {
  const { rewards, model, attnProbe, normBbox, rule, logger, step, maxSteps } = options;
  const signal = options.signal ?? new AbortController().signal;
  const numGenerations = groups[0]!.completions.length;
  const samples = groups.flatMap((group) => group.completions.map((completion) => ({ group, completion })));
  const metrics: Record<string, number> = {};
  const extras = new Map<string, readonly Json[]>();
  const hooks: { -readonly [K in keyof LearningHooks]: LearningHooks[K] } = {
    advantageScales: null,
    tokenWeights: null,
  };
  const kwargs: RewardKwargs = {
    ...columnArrays(
      samples.map(({ group }) => group.prompt.row.columns),
      rewards.flatMap(({ columns = [] }) => columns),
    ),
    trainer_state: { global_step: step, max_steps: maxSteps },
    num_generations: numGenerations,
    prompt_ids: samples.map(({ group }) => group.prompt.ids),
    completion_ids: samples.map(({ completion }) => completion.ids),
    messages: samples.map(({ group }) => group.prompt.row.messages),
    images: samples.map(({ group }) => group.prompt.images),
    norm_bbox: normBbox,
    system_prefix: samples.map(({ group }) => group.prompt.systemPrefix),
    image_token_id: model.modelConfig.imageTokenId,
    video_token_id: model.modelConfig.videoTokenId,
    model,
    template: PLAIN_TEMPLATE,
    attn_probe: attnProbe,
    changed_images: Object.fromEntries(changes),
    attention: Object.fromEntries(attention),
    attention_masses: attentionMasses(samples.map(({ completion }) => completion)),
    logger,
    signal,
    log_metric: (name, value) => {
      metrics[name] = value;
    },
    log_extra: (column, values) => {
      if (values.length !== samples.length) {
        throw new RangeError(`log_extra('${column}') got ${values.length} values for ${samples.length} completions`);
      }
      extras.set(column, values.map(toJson));
    },
    scale_advantages: (factors) => {
      const earlier = hooks.advantageScales;
      hooks.advantageScales = Float64Array.from(factors, (factor, i) =>
        earlier === null ? factor : factor * earlier[i]!,
      );
    },
    weigh_tokens: (weights) => {
      const { tokenWeights: earlier } = hooks;
      hooks.tokenWeights = weights.map((row, i) =>
        Float32Array.from(row, (weight, t) => (earlier === null ? weight : weight * earlier[i]![t]!)),
      );
    },
  };
  const columns = await runRewards(
    rewards,
    samples.map(({ completion }) => completion.text),
    kwargs,
    { signal, rule, rows: samples.map(({ group }) => group.prompt.row.where) },
  );
  const totals = combineRewards(
    columns.map(({ values }) => values),
    columns.map(({ weight }) => weight),
    numGenerations,
  );
  return { columns, totals, metrics: { ...signalMetrics(rewards, [{ extras }]), ...metrics }, extras, hooks };
}

/**
 * What to measure of these prompts' completions, if a reward takes its masses from a fused forward.
 *
 * @param more spans that rewards ask for
 */
export function attentionProbe(
  prompts: readonly Pick<RolloutPrompt, 'ids' | 'systemPrefix'>[],
  { rewards, attnProbe, model }: Pick<JudgeOptions, 'rewards' | 'attnProbe' | 'model'>,
  more: readonly ProbedSpans[],
): MassProbe | undefined {
  if (attnProbe === 'eager') return undefined;
  const isWanted = more.length > 0 || rewards.some(({ needs }) => needs.includes('attention'));
  return isWanted ? probeOf(prompts, model, more) : undefined;
}

/** What to measure of these prompts' completions for the log; nothing if none of them has an image. */
export function loggedProbe(
  prompts: readonly Pick<RolloutPrompt, 'ids' | 'systemPrefix' | 'images'>[],
  { model }: Pick<JudgeOptions, 'model'>,
): MassProbe | undefined {
  return prompts.some(({ images }) => images.length > 0) ? probeOf(prompts, model) : undefined;
}

// --- internal ---

function probeOf(
  prompts: readonly Pick<RolloutPrompt, 'ids' | 'systemPrefix'>[],
  { modelConfig: { imageTokenId, videoTokenId, text } }: JudgeOptions['model'],
  more: readonly ProbedSpans[] = [],
): MassProbe {
  return massProbe(prompts, [imageTokenId, videoTokenId], text.numHiddenLayers, more);
}

/** The masses that a probe measured of each completion; null where none was measured. */
function attentionMasses(completions: readonly Completion[]): RewardKwargs['attention_masses'] {
  const masses = completions.map((completion) =>
    massesOf({ ids: completion.ids, masses: completion.masses ?? new Map() }),
  );
  return masses.every((mass) => mass === null) ? null : masses;
}
