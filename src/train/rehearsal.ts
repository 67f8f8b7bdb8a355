/**
 * `--dry_run`: one step at its largest, and no update. The longest prompts, completions that never stop, the rewards
 * as they are: what it takes is what the run will take at most, told before step 1.
 */
import { optimizerStepAt } from '../grpo/batching.ts';
import type { RowSource } from './data.ts';
import { type Collector, collect, type Experience } from './experience.ts';
import { learn } from './learn.ts';
import { encodePrompt, type PromptOfRow } from './prompts.ts';
import { encodeUnlessLong } from './reader.ts';

/** Rows whose prompts are looked at, spread over the data. */
const ROWS_TRIED = 512;

/** Runs the step and tells what it found as notices; writes nothing, changes no weight. */
export async function rehearse(rows: RowSource, collector: Collector): Promise<void> {
  const { plan, policy, journal, sampling } = collector;
  const start = performance.now();
  const prompts = await longestPrompts(rows, collector);
  const microBatches = optimizerStepAt(plan, 0);
  const experiences = new Map<number, Experience>();
  const endless = { ...collector, sampling: { ...sampling, stopIds: [] } };
  for (const { rollout } of microBatches) {
    if (!experiences.has(rollout)) experiences.set(rollout, await collect(prompts, rollout, 0, endless));
  }
  await learn(microBatches, experiences, endless);
  const seconds = (performance.now() - start) / 1000;

  // AdamW's two moments are the only memory that a step touches after backward.
  const moments = 2 * Float32Array.BYTES_PER_ELEMENT * policy.summary.trainable;
  const peak = process.resourceUsage().maxRSS * 1024 + moments;
  const longest = prompts[0]!.prompt.ids.length;
  await journal.notice(
    'info',
    `dry run: a step of ${plan.promptsPerRollout} prompts (the longest has ${longest} tokens) x ${plan.numGenerations} completions of ${sampling.maxCompletionLength} tokens took ${seconds.toFixed(1)} s, the first use of every kernel included`,
  );
  await journal.notice('info', `dry run: predicted peak memory ${(peak / 2 ** 30).toFixed(2)} GiB`);
  for (const { judged } of experiences.values()) {
    for (const { label, values } of judged.columns) {
      const numbers = values.filter((value) => value !== null);
      const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
      const told = numbers.length === 0 ? 'no value' : `mean ${mean.toFixed(4)}`;
      await journal.notice(
        'info',
        `dry run: reward ${label}: ${told}, ${values.length - numbers.length} of ${values.length} null`,
      );
    }
  }
}

// --- internal ---

/** The prompts of a rollout, the longest that were found; a short dataset repeats. */
async function longestPrompts(rows: RowSource, { args, plan, policy }: Collector): Promise<PromptOfRow[]> {
  const encode = encodePrompt(policy.template);
  const tried = Math.min(rows.length, ROWS_TRIED);
  const prompts: PromptOfRow[] = [];
  for (let i = 0; i < tried; i++) {
    const row = rows.row(Math.floor((i * rows.length) / tried));
    const prompt = await encodeUnlessLong(row, args.truncationStrategy, encode);
    if (prompt !== null) prompts.push(prompt);
  }
  prompts.sort((a, b) => b.prompt.ids.length - a.prompt.ids.length);
  return Array.from({ length: plan.promptsPerRollout }, (_, i) => prompts[i % prompts.length]!);
}
