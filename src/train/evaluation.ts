/**
 * Evaluation on held-out prompts: sample, score, judge, average. Nothing is learned.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { groupAdvantages } from '../grpo/advantages.ts';
import { completionMetrics, rewardMetrics } from '../grpo/metrics.ts';
import { type CompletionSampler, completionsOf, rollout } from '../grpo/rollout.ts';
import { nameOfTransform } from '../models/image_transform.ts';
import { measureAttention, probedSpans } from './attention_needs.ts';
import { createAverages } from './averages.ts';
import { type RowSource, rowsAt } from './data.ts';
import { createEvaluationScores, scoredGroups } from './evaluation_scores.ts';
import type { Metrics } from './events.ts';
import { type ChangeTools, scoreImageChanges, wantedTransforms } from './image_changes.ts';
import { countTokens, type TellProgress } from './journal.ts';
import { attentionProbe, type Judged, type JudgeOptions, judge } from './judge.ts';
import type { Policy } from './policy.ts';
import { encodePrompt } from './prompts.ts';
import { encodeOrPass, noneUsable } from './row_reader.ts';
import { signalMetrics } from './signals.ts';

export interface EvaluationTools {
  /** Samples as evaluations do: see `evaluationSampling`. */
  readonly sampler: CompletionSampler;
  readonly judging: JudgeOptions;
  /** Scores completions, also under changed images. */
  readonly model: Policy['model'];
  /** The model that the KL compares with; null without one. */
  readonly reference: ChangeTools['model'] | null;
  readonly signal: AbortSignal;
  /** Hears how many tokens are sampled and rows evaluated. */
  readonly tell?: TellProgress;
}

/**
 * Metrics over all rows of a source, as training logs them, without the `eval_` prefix.
 *
 * Errors: E_DATASET_EMPTY if every row is passed over; those of the template, the generator and the rewards
 */
export async function evaluate(
  args: RlhfArguments,
  rows: RowSource,
  { sampler, judging, model, reference, signal, tell }: EvaluationTools,
): Promise<Metrics> {
  const { numGenerations, temperature: sampledAt } = sampler.sampling;
  const { temperature } = args;
  const transforms = wantedTransforms(args, judging.rewards);
  const scores = createEvaluationScores(args, reference);
  const encode = encodePrompt(sampler.template);
  let done = 0;
  const onTokens = tell && countTokens(({ tokens }) => tell({ tokens, done, total: rows.length }));
  const promptsAtOnce = Math.max(1, Math.floor(args.perDeviceEvalBatchSize / numGenerations));
  const tolerance = { longRows: args.truncationStrategy, leaveOut: rows.leaveOut };
  // No completion is kept: the images of all rows would not fit into memory.
  const lengths: number[] = [];
  const truncated: boolean[] = [];
  const logged = createAverages();
  const judgedParts: Judged[] = [];
  for (let first = 0; first < rows.length; first += promptsAtOnce) {
    done = first;
    const indices = Array.from({ length: Math.min(promptsAtOnce, rows.length - first) }, (_, i) => first + i);
    const batch = await rowsAt(rows, indices);
    const encoded = await Promise.all(batch.map((row) => encodeOrPass(row, tolerance, encode)));
    const prompts = encoded.filter((prompt) => prompt !== null);
    if (prompts.length === 0) continue;
    const attentionTools = { ...judging, model, template: sampler.template };
    const probe = attentionProbe(prompts, judging, probedSpans(prompts, attentionTools));
    const sampled = await rollout(prompts, sampler, { name: `${first}`, probe, signal, onTokens });
    const areCompared = transforms.length > 0 || reference !== null;
    const groups = areCompared ? await scoredGroups(sampled.groups, model, { temperature, sampledAt }) : sampled.groups;
    const changes = await scoreImageChanges(groups, transforms, {
      model,
      temperature,
      visionTokenIds: sampler.template.visionTokenIds,
      random: sampler.random.fork(`changed images of ${first}`),
    });
    if (areCompared) {
      await scores.add(groups, transforms.length === 0 ? null : changes.get(nameOfTransform(transforms[0]!))!);
    }
    const attention = await measureAttention(groups, attentionTools);
    const judged = await judge(groups, judging, { changes, attention });
    for (const completion of completionsOf(sampled)) {
      lengths.push(completion.ids.length);
      truncated.push(completion.truncated);
    }
    judgedParts.push(judged);
    // A reward logs means of its call; calls count by the completions they judged.
    for (const _ of sampled.groups) logged.add(judged.metrics);
  }
  if (lengths.length === 0) throw noneUsable(rows.length, (await rows.row(0)).where, tolerance);
  const totals = judgedParts.flatMap((judged) => judged.totals);
  const named = judging.rewards.map(({ label }, k) => ({
    name: label,
    values: judgedParts.flatMap((judged) => judged.columns[k]!.values),
  }));
  return {
    ...rewardMetrics(totals, groupAdvantages(totals, numGenerations, { scaleRewards: 'group' }), named),
    ...completionMetrics(lengths, truncated),
    ...scores.metrics(),
    ...logged.take(),
    // Computed over all completions: a mean of the calls' means would be off where calls differ in their counts.
    ...signalMetrics(judging.rewards, judgedParts),
  };
}
