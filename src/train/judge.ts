/**
 * Puts completions before the rewards: gathers what their contract promises, runs them, collects what they log.
 * Knows the contract's names; not what any reward measures, nor what becomes of the values.
 */

import { type MassProbe, massesOf, massProbe } from '../attention/probe.ts';
import type { ScoredCompletion } from '../engine/groups.ts';
import { combineRewards, type RewardValue } from '../grpo/advantages.ts';
import type { RolloutGroup } from '../grpo/rollout.ts';
import type { ModelConfig, NormBbox } from '../models/architecture.ts';
import type { PolicyModel } from '../models/types.ts';
import { columnArrays } from '../rewards/columns.ts';
import type { AttnProbe, RewardKwargs, RewardLogger } from '../rewards/contract.ts';
import type { FailureRule } from '../rewards/deadline.ts';
import type { Reward } from '../rewards/reward.ts';
import { type RewardColumn, runRewards } from '../rewards/run.ts';
import { type Json, toJson } from '../util/json.ts';
import { signalMetrics } from './signals.ts';

export interface Judged {
  readonly columns: readonly RewardColumn[];
  /** Weighted sum of a completion's rewards; null where it cannot be compared with its group. */
  readonly totals: readonly RewardValue[];
  /** Numbers the rewards logged of themselves, and those of their signals. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Columns the rewards logged, one value a completion. */
  readonly extras: ReadonlyMap<string, readonly Json[]>;
}

export interface JudgeOptions {
  readonly rewards: readonly Reward[];
  readonly model: PolicyModel & { readonly sizes: { readonly imageTokenId: number; readonly videoTokenId: number } };
  readonly attnProbe: AttnProbe;
  /** How boxes are written in this run. */
  readonly normBbox: NormBbox;
  /** What becomes of rewards that are late or fail. */
  readonly rule?: FailureRule;
  readonly logger: RewardLogger;
  readonly step: number;
  readonly maxSteps: number;
  /** Ends the wait for rewards. */
  readonly signal?: AbortSignal;
}

/**
 * @param scored the same completions measured by an attention probe, in a forward or while they were sampled, per group; or null
 * @throws SightlineError of a reward that throws or returns what it must not; the signal's reason
 */
export async function judge(
  groups: readonly RolloutGroup[],
  scored: readonly (readonly ScoredCompletion[])[] | null,
  options: JudgeOptions,
): Promise<Judged> {
  const { rewards, model, attnProbe, normBbox, rule, logger, step, maxSteps } = options;
  const signal = options.signal ?? new AbortController().signal;
  const numGenerations = groups[0]!.completions.length;
  const samples = groups.flatMap((group) => group.completions.map((completion) => ({ group, completion })));
  const metrics: Record<string, number> = {};
  const extras = new Map<string, readonly Json[]>();
  const kwargs: RewardKwargs = {
    ...columnArrays(
      samples.map(({ group }) => group.row.columns),
      rewards.flatMap(({ columns = [] }) => columns),
    ),
    trainer_state: { global_step: step, max_steps: maxSteps },
    num_generations: numGenerations,
    prompt_ids: samples.map(({ group }) => group.prompt.ids),
    completion_ids: samples.map(({ completion }) => completion.ids),
    messages: samples.map(({ group }) => group.row.messages),
    images: samples.map(({ group }) => group.prompt.images),
    norm_bbox: normBbox,
    system_prefix: samples.map(({ group }) => group.prompt.systemPrefix),
    image_token_id: model.sizes.imageTokenId,
    video_token_id: model.sizes.videoTokenId,
    model,
    template: { forward_context: () => ({ enter: () => undefined, exit: () => undefined }) },
    attn_probe: attnProbe,
    attention_masses: scored?.flat().map(massesOf) ?? null,
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
  };
  const columns = await runRewards(
    rewards,
    samples.map(({ completion }) => completion.text),
    kwargs,
    { signal, rule, rows: samples.map(({ group }) => group.row.where) },
  );
  const totals = combineRewards(
    columns.map(({ values }) => values),
    columns.map(({ weight }) => weight),
    numGenerations,
  );
  return { columns, totals, metrics: { ...signalMetrics(rewards, [{ extras }]), ...metrics }, extras };
}

/** What to measure of these prompts' completions, if an attention reward wants sums out of a fused forward. */
export function attentionProbe(
  groups: readonly Pick<RolloutGroup, 'prompt'>[],
  { rewards, attnProbe }: Pick<JudgeOptions, 'rewards' | 'attnProbe'>,
  { imageTokenId, videoTokenId, text }: ModelConfig,
): MassProbe | undefined {
  if (attnProbe === 'eager' || !rewards.some(({ needs }) => needs.includes('attention'))) return undefined;
  const prompts = groups.map(({ prompt }) => ({ promptIds: prompt.ids, systemPrefix: prompt.systemPrefix }));
  return massProbe(prompts, [imageTokenId, videoTokenId], text.numHiddenLayers);
}
