/**
 * Evaluation on held-out prompts: sample, judge, average. Nothing is learned.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import type { Generator } from '../engine/generation.ts';
import type { Scored } from '../engine/model.ts';
import { groupAdvantages } from '../grpo/advantages.ts';
import { completionMetrics, rewardMetrics } from '../grpo/metrics.ts';
import { type Completion, type RolloutGroup, rollout } from '../grpo/rollout.ts';
import type { Random } from '../util/random.ts';
import { createAverages } from './averages.ts';
import type { RowSource } from './data.ts';
import type { Metrics } from './events.ts';
import { countTokens, type TellProgress } from './journal.ts';
import { attentionProbe, type Judged, type JudgeOptions, judge } from './judge.ts';
import type { Policy } from './policy.ts';
import { encodePrompt, type PromptOfRow } from './prompts.ts';
import { encodeOrPass, noneUsable } from './row_reader.ts';
import { samplingOf } from './sampling.ts';
import { signalMetrics } from './signals.ts';

export interface EvaluationTools {
  readonly policy: Policy;
  readonly generator: Generator;
  readonly random: Random;
  readonly judging: JudgeOptions;
  readonly signal: AbortSignal;
  /** Hears how many tokens are sampled and rows evaluated. */
  readonly tell?: TellProgress;
  /** Ids that end a completion, in place of the checkpoint's: a rehearsal has none. */
  readonly stopIds?: readonly number[];
}

/** Metrics over all rows of a source, as training logs them, without the `eval_` prefix. */
export async function evaluate(args: RlhfArguments, rows: RowSource, tools: EvaluationTools): Promise<Metrics> {
  const { policy, generator, random, judging, signal, tell } = tools;
  const { template, config } = policy;
  const numGenerations = args.numGenerationsEval;
  const flags = samplingOf({ ...args, temperature: args.evalTemperature, numGenerations }, policy);
  const sampling = { ...flags, stopIds: tools.stopIds ?? flags.stopIds };
  let done = 0;
  const onTokens = tell && countTokens(({ tokens }) => tell({ tokens, done, total: rows.length }));
  const promptsAtOnce = Math.max(1, Math.floor(args.perDeviceEvalBatchSize / numGenerations));
  /** Completions, and what an attention reward asks of them. */
  const sampled = async (prompts: readonly PromptOfRow[], stream: Random): Promise<Sampled> => {
    const sampler = { generator, template, random: stream, signal, onTokens };
    const probe = attentionProbe(prompts, judging, config);
    const { groups, completions } = await rollout(prompts, sampling, { ...sampler, probe });
    return { groups, measured: probe === undefined ? null : completions };
  };
  const tolerance = { longRows: args.truncationStrategy, leaveOut: rows.leaveOut };
  // completions alone: the images of all rows would not fit into memory
  const completions: Completion[] = [];
  const logged = createAverages();
  const judgedParts: Judged[] = [];
  for (let first = 0; first < rows.length; first += promptsAtOnce) {
    done = first;
    const indices = Array.from({ length: Math.min(promptsAtOnce, rows.length - first) }, (_, i) => first + i);
    const encoded = await Promise.all(
      indices.map((index) => encodeOrPass(rows.row(index), tolerance, encodePrompt(template))),
    );
    const prompts = encoded.filter((prompt) => prompt !== null);
    if (prompts.length === 0) continue;
    const { groups: part, measured } = await sampled(prompts, random.fork(`${first}`));
    const judged = await judge(part, measured, judging);
    completions.push(...part.flatMap((group) => group.completions));
    judgedParts.push(judged);
    // A reward logs means of its call; calls count by the completions they judged.
    for (const _ of part) logged.add(judged.metrics);
  }
  if (completions.length === 0) throw noneUsable(rows.length, rows.row(0).where, tolerance);
  const totals = judgedParts.flatMap((judged) => judged.totals);
  const named = judging.rewards.map(({ label }, k) => ({
    name: label,
    values: judgedParts.flatMap((judged) => judged.columns[k]!.values),
  }));
  return {
    ...rewardMetrics(totals, groupAdvantages(totals, numGenerations, { scaleRewards: 'group' }), named),
    ...completionMetrics(
      completions.map(({ ids }) => ids.length),
      completions.map(({ truncated }) => truncated),
    ),
    ...logged.take(),
    // exact, where means of means are not: calls differ in how many numbers they have
    ...signalMetrics(judging.rewards, judgedParts),
  };
}

// --- internal ---

interface Sampled {
  readonly groups: readonly RolloutGroup[];
  /** The completions with attention masses; null where nobody asks for them. */
  readonly measured: Scored['completions'] | null;
}
