/**
 * `--dry_run`: two steps at their largest (the longest prompts, completions that never stop), some ordinary ones, and an
 * evaluation batch. What they take, and what is known to come on top of it, is what the run will take at most, told before
 * step 1. Learns in memory only; writes nothing.
 */
import { createSampler } from '../data/sampler.ts';
import { optimizerStepAt } from '../grpo/batching.ts';
import { promptsOfRun } from '../grpo/epochs.ts';
import { mean } from '../grpo/statistics.ts';
import { IMAGE_CACHE_BYTES } from '../template/template.ts';
import { formatShortDuration } from '../util/duration.ts';
import { plural } from '../util/plural.ts';
import type { RowSource, TrainingData } from './data.ts';
import { evaluate } from './evaluation.ts';
import { type Collector, collect, type Experience } from './experience.ts';
import { growthOfImages, type RowImages } from './image_cache_growth.ts';
import { learn } from './learn.ts';
import { encodePrompt, type PromptOfRow } from './prompts.ts';
import { createReader, encodeOrPass, noneUsable } from './row_reader.ts';
import { plannedOf, type RunLength } from './run_length.ts';
import type { Updater } from './update.ts';

/** Rows whose prompts are looked at, spread over the data. */
const ROWS_TRIED = 512;

/**
 * Ordinary steps after the two largest, as many as fit into this time: the variety of prompts and completions makes
 * buffers of many sizes, and garbage takes some steps to come to its full amount. Large models have no time for them, and
 * little need: there both are small beside the rest.
 */
const ORDINARY_MS = 8000;
const ORDINARY_STEPS = 40;

export interface Rehearsed {
  readonly data: TrainingData;
  /** What there is to say of columns that some rows lack. */
  readonly lacking: readonly string[];
  readonly updater: Pick<Updater, 'update'>;
  readonly length: RunLength;
  /** The run will keep the pixels of images; the rehearsal, which looks at many to find the longest prompts, does not. */
  readonly keepsPixels: boolean;
}

/** Rehearses the run and tells what it found as notices. */
export async function rehearse(
  { data, lacking, updater, length, keepsPixels }: Rehearsed,
  collector: Collector,
): Promise<void> {
  const { args, plan, policy, reference, journal, sampling } = collector;
  const totalSteps = length.maxSteps;
  const planned = plannedOf(args, length, data.evaluation !== null);
  const endless: Collector = { ...collector, sampling: { ...sampling, stopIds: [] } };
  const { longest, images } = await look(data.train, plan.promptsPerRollout, collector);
  const step = async (prompts: readonly PromptOfRow[], how: Collector): Promise<Done> => {
    const start = performance.now();
    const experiences = new Map<number, Experience>();
    const microBatches = optimizerStepAt(plan, 0);
    for (const { rollout } of microBatches) {
      if (!experiences.has(rollout)) experiences.set(rollout, await collect(prompts, rollout, 0, how));
    }
    const collected = performance.now();
    await learn(microBatches, experiences, how);
    await updater.update();
    const end = performance.now();
    return {
      seconds: (end - start) / 1000,
      rolloutSeconds: (collected - start) / 1000 / experiences.size,
      learnSeconds: (end - collected) / 1000,
      experiences: [...experiences.values()],
    };
  };
  // The first step compiles every kernel and makes the one comparison of `--attn_probe auto`.
  const first = await step(longest, endless);
  const second = await step(longest, endless);
  const sampler = createSampler({ length: data.train.length, seed: args.dataSeed, shuffle: args.datasetShuffle });
  const reader = createReader(data.train, sampler, args.truncationStrategy, encodePrompt(policy.template));
  const end = performance.now() + ORDINARY_MS;
  const ordinary: Pick<Done, 'rolloutSeconds' | 'learnSeconds'>[] = [];
  while (ordinary.length < ORDINARY_STEPS && performance.now() < end) {
    const { rolloutSeconds, learnSeconds } = await step(await reader.next(plan.promptsPerRollout), collector);
    ordinary.push({ rolloutSeconds, learnSeconds });
  }
  // Several steps may learn from one rollout.
  const rollouts = promptsOfRun(plan, totalSteps) / plan.promptsPerRollout;
  const training =
    rollouts * mean(ordinary.map(({ rolloutSeconds }) => rolloutSeconds))! +
    totalSteps * mean(ordinary.map(({ learnSeconds }) => learnSeconds))!;
  const evaluates = data.evaluation !== null && (args.evalOnStart || args.evalStrategy !== 'no');
  const evaluation = evaluates ? await rehearseEvaluation(data.evaluation!, collector) : 0;

  for (const text of [...lacking, ...(data.summary.leftOut ?? [])]) await journal.notice('warn', text);
  const measured = process.resourceUsage().maxRSS * 1024;
  const rows = Math.min(promptsOfRun(plan, totalSteps), data.train.length) + (evaluates ? data.evaluation!.length : 0);
  const features = [policy, ...(reference === null ? [] : [reference])].map(({ model }) => model.images);
  const pixelBudget = keepsPixels ? IMAGE_CACHE_BYTES : 0;
  const growth = growthOfImages(images, { rows, pixelBudget, features }, policy.config.vision);
  const products = policy.model.productRoom;
  const tokens = longest[0]!.prompt.ids.length;
  await journal.notice(
    'info',
    `dry run: a step of ${plural(plan.promptsPerRollout, 'prompt')} (the longest has ${tokens} tokens) x ${plan.numGenerations} completions of ${sampling.maxCompletionLength} tokens takes ${second.seconds.toFixed(1)} s, the first one ${first.seconds.toFixed(1)} s`,
  );
  await journal.notice('info', wholeRun(totalSteps, training, planned, evaluation));
  await journal.notice(
    'info',
    `dry run: predicted peak memory ${gib(measured + growth + products)} GiB: ${gib(measured)} measured in a rehearsal, ${gib(growth)} for images that are kept${products === 0 ? '' : `, ${gib(products)} for what smaller steps may keep (--gradient_checkpointing)`}`,
  );
  await tellRewards(first.experiences, collector);
  await journal.notice('info', 'dry run: done; nothing was written');
}

// --- internal ---

interface Done {
  readonly seconds: number;
  /** Of one rollout, and of what a step does besides. */
  readonly rolloutSeconds: number;
  readonly learnSeconds: number;
  readonly experiences: readonly Experience[];
}

/**
 * How long the run will take.
 *
 * @param training seconds of all steps
 * @param evaluation seconds of one evaluation whose completions all have the full length
 */
function wholeRun(
  steps: number,
  training: number,
  planned: { readonly eval: number; readonly save: number },
  evaluation: number,
): string {
  const evaluations =
    planned.eval === 0
      ? ''
      : ` and at most ${formatShortDuration(planned.eval * evaluation)} for ${plural(planned.eval, 'evaluation')} of ${formatShortDuration(evaluation)}`;
  const saves = planned.save === 0 ? '' : `; ${plural(planned.save, 'checkpoint is', 'checkpoints are')} not counted`;
  return `dry run: the whole run takes about ${formatShortDuration(training)} for ${steps} steps${evaluations}${saves}`;
}

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);

/** The prompts of a rollout, the longest that were found (a short dataset repeats), and the images of the rows tried. */
async function look(
  rows: RowSource,
  count: number,
  { args, policy }: Collector,
): Promise<{ longest: PromptOfRow[]; images: RowImages }> {
  const encode = encodePrompt(policy.template);
  const tolerance = { longRows: args.truncationStrategy, leaveOut: rows.leaveOut };
  const tried = Math.min(rows.length, ROWS_TRIED);
  const prompts: PromptOfRow[] = [];
  const patches = new Map<string, number>();
  for (let i = 0; i < tried; i++) {
    const row = await rows.row(Math.floor((i * rows.length) / tried));
    const encoded = await encodeOrPass(row, tolerance, encode);
    if (encoded === null) continue;
    for (const { hash, gridThw } of encoded.prompt.images) patches.set(hash, gridThw[0] * gridThw[1] * gridThw[2]);
    prompts.push(encoded);
    prompts.sort((a, b) => b.prompt.ids.length - a.prompt.ids.length);
    prompts.length = Math.min(prompts.length, count);
  }
  if (prompts.length === 0) throw noneUsable(tried, (await rows.row(0)).where, tolerance, rows.length);
  return {
    longest: Array.from({ length: count }, (_, i) => prompts[i % prompts.length]!),
    images: { rows: tried, patches: [...patches.values()].reduce((sum, value) => sum + value, 0) },
  };
}

/**
 * A batch of the longest evaluation prompts, as large as the flags make it, with completions that never stop.
 *
 * @returns seconds that an evaluation of all rows takes at that speed
 */
async function rehearseEvaluation(rows: RowSource, collector: Collector): Promise<number> {
  const { args, policy, generator, random, judging, signal, journal } = collector;
  const prompts = Math.max(1, Math.floor(args.perDeviceEvalBatchSize / args.numGenerationsEval));
  const { longest } = await look(rows, Math.min(prompts, rows.length), collector);
  const batch: RowSource = { length: longest.length, row: async (index) => longest[index]!.row };
  const tools = { policy, generator, random: random.fork('eval'), judging: judging(0), signal, stopIds: [] };
  const start = performance.now();
  await journal.time('eval', (tell) => evaluate(args, batch, { ...tools, tell }));
  return ((performance.now() - start) / 1000) * Math.ceil(rows.length / longest.length);
}

async function tellRewards(experiences: readonly Experience[], { journal }: Collector): Promise<void> {
  for (const { judged } of experiences) {
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
