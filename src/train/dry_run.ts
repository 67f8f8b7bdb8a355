/**
 * `--dry_run`: predicts the time and the peak memory of a run. It makes two steps at their largest (the longest prompts,
 * completions that never stop), some ordinary ones, and an evaluation batch; and it adds the memory that is known to come
 * later. Learns in memory only, and writes nothing.
 */
import { createSampler } from '../data/sampler.ts';
import { promptsOfRun } from '../grpo/epochs.ts';
import type { CompletionSampler, RolloutPrompt } from '../grpo/rollout.ts';
import { mean, present } from '../grpo/statistics.ts';
import { IMAGE_CACHE_BYTES } from '../template/image_loader.ts';
import { formatShortDuration } from '../util/duration.ts';
import { plural } from '../util/plural.ts';
import type { RowSource, TrainingData } from './data.ts';
import { evaluate } from './evaluation.ts';
import type { StepParts } from './experience.ts';
import { growthOfImages, type RowImages } from './image_cache_growth.ts';
import { wantedTransforms } from './image_changes.ts';
import type { Judged } from './judge.ts';
import type { Policy } from './policy.ts';
import { encodePrompt } from './prompts.ts';
import { neverStopping, type RehearsedStep, rehearseStep } from './rehearsed_step.ts';
import { createReader, encodeOrPass, noneUsable } from './row_reader.ts';
import { plannedOf, type RunLength } from './run_length.ts';
import type { Updater } from './update.ts';

/** Number of rows, spread over the data, whose prompts are encoded to find the longest. */
const ROWS_TRIED = 512;

/**
 * After the two largest steps, as many ordinary ones as fit into this time. Prompts and completions of many lengths take
 * buffers of many sizes, and garbage takes some steps to reach its full amount. A large model has no time for these steps; it
 * needs them less, because both amounts are small beside its weights.
 */
const ORDINARY_MS = 8000;
const ORDINARY_STEPS = 40;

export interface Rehearsed {
  readonly data: TrainingData;
  /** Sentences about columns that some rows lack. */
  readonly lacking: readonly string[];
  readonly updater: Pick<Updater, 'update'>;
  readonly length: RunLength;
  /** Whether the run will keep pixels of images. The rehearsal keeps none: it encodes many rows only to measure them. */
  readonly keepsPixels: boolean;
  readonly evaluationSampler: CompletionSampler;
}

/** Rehearses the run and reports its findings as notices. Errors: those of a step and of an evaluation. */
export async function rehearse(
  { data, lacking, updater, length, keepsPixels, evaluationSampler }: Rehearsed,
  parts: StepParts,
): Promise<void> {
  const { args, plan, policy, reference, journal, sampler: ordinarySampler } = parts;
  const totalSteps = length.maxSteps;
  const planned = plannedOf(args, length, data.evaluation !== null);
  const endless: StepParts = { ...parts, sampler: neverStopping(ordinarySampler) };
  const { longest, images } = await lookAt(data.train, plan.promptsPerRollout, { args, template: policy.template });
  // The first step also compiles every kernel, and makes the one comparison of `--attn_probe auto`.
  const first = await rehearseStep(longest, endless, updater);
  const second = await rehearseStep(longest, endless, updater);
  const sampler = createSampler({ length: data.train.length, seed: args.dataSeed, shuffle: args.datasetShuffle });
  const reader = createReader(data.train, sampler, args.truncationStrategy, encodePrompt(policy.template));
  const end = performance.now() + ORDINARY_MS;
  const ordinary: Pick<RehearsedStep, 'rolloutSeconds' | 'learnSeconds'>[] = [];
  const batches: number[] = [];
  while (ordinary.length < ORDINARY_STEPS && performance.now() < end) {
    const prompts = (): Promise<RolloutPrompt[]> => reader.next(plan.promptsPerRollout);
    const { rolloutSeconds, learnSeconds, judged } = await rehearseStep(await prompts(), parts, updater, prompts);
    ordinary.push({ rolloutSeconds, learnSeconds });
    batches.push(...judged.flatMap(({ metrics }) => metrics.num_gen_batches ?? []));
  }
  // Several steps may learn from one rollout.
  const rollouts = promptsOfRun(plan, totalSteps) / plan.promptsPerRollout;
  const training =
    rollouts * mean(ordinary.map(({ rolloutSeconds }) => rolloutSeconds))! +
    totalSteps * mean(ordinary.map(({ learnSeconds }) => learnSeconds))!;
  const evaluates = data.evaluation !== null && (args.evalOnStart || args.evalStrategy !== 'no');
  const evaluation = evaluates ? await rehearseEvaluation(data.evaluation!, evaluationSampler, parts) : 0;

  for (const text of [...lacking, ...(data.summary.leftOut ?? [])]) await journal.notice('warn', text);
  const measured = process.resourceUsage().maxRSS * 1024;
  const rows = Math.min(promptsOfRun(plan, totalSteps), data.train.length) + (evaluates ? data.evaluation!.length : 0);
  const features = [policy, ...(reference === null ? [] : [reference])].map(({ model }) => model.images);
  const pixelBudget = keepsPixels ? IMAGE_CACHE_BYTES : 0;
  // Black patches are drawn anew each time; an image left out has no tokens.
  const blurs = wantedTransforms(args, parts.judging(0).rewards).filter(({ kind }) => kind === 'blur');
  const growth = growthOfImages(
    images,
    { rows, pixelBudget, forms: 1 + blurs.length, features },
    policy.modelConfig.vision,
  );
  const products = policy.model.productRoom;
  const tokens = longest[0]!.ids.length;
  await journal.notice(
    'info',
    `dry run: a step of ${plural(plan.promptsPerRollout, 'prompt')} (the longest has ${tokens} tokens) x ${plan.numGenerations} completions of ${args.maxCompletionLength} tokens takes ${second.seconds.toFixed(1)} s, the first one ${first.seconds.toFixed(1)} s`,
  );
  await journal.notice('info', wholeRun(totalSteps, training, planned, evaluation));
  if (args.dynamicSample) await journal.notice('info', resampling(mean(batches)!, args.maxResampleTimes));
  await journal.notice(
    'info',
    `dry run: predicted peak memory ${gib(measured + growth + products)} GiB: ${gib(measured)} measured in a rehearsal, ${gib(growth)} for images that are kept${products === 0 ? '' : `, ${gib(products)} for what smaller steps may keep (--gradient_checkpointing)`}`,
  );
  const onDevice = policy.model.device.memory();
  if (onDevice !== null)
    await journal.notice(
      'info',
      `dry run: the device held ${gib(onDevice.peak)} GiB of tensors at most in the rehearsal`,
    );
  await tellRewards(first.judged, parts);
  await journal.notice('info', 'dry run: done; nothing was written');
}

/** The `count` longest prompts of the rows that are tried (repeated, if there are fewer), and the images of these rows. */
export async function lookAt(
  rows: RowSource,
  count: number,
  { args, template }: Pick<StepParts, 'args'> & Pick<Policy, 'template'>,
): Promise<{ longest: RolloutPrompt[]; images: RowImages }> {
  const encode = encodePrompt(template);
  const tolerance = { longRows: args.truncationStrategy, leaveOut: rows.leaveOut };
  const tried = Math.min(rows.length, ROWS_TRIED);
  const prompts: RolloutPrompt[] = [];
  const patches = new Map<string, number>();
  for (let i = 0; i < tried; i++) {
    const row = await rows.row(Math.floor((i * rows.length) / tried));
    const encoded = await encodeOrPass(row, tolerance, encode);
    if (encoded === null) continue;
    for (const { hash, gridThw } of encoded.images) patches.set(hash, gridThw[0] * gridThw[1] * gridThw[2]);
    prompts.push(encoded);
    prompts.sort((a, b) => b.ids.length - a.ids.length);
    prompts.length = Math.min(prompts.length, count);
  }
  if (prompts.length === 0) throw noneUsable(tried, (await rows.row(0)).where, tolerance, rows.length);
  return {
    longest: Array.from({ length: count }, (_, i) => prompts[i % prompts.length]!),
    images: { rows: tried, patches: [...patches.values()].reduce((sum, value) => sum + value, 0) },
  };
}

// --- internal ---

/**
 * A sentence about the time of the whole run.
 *
 * @param training seconds of all steps
 * @param evaluation seconds of one evaluation in which all completions have the full length
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

/** @param batches of prompts for a rollout, in the mean of ordinary steps */
const resampling = (batches: number, most: number): string =>
  `dry run: dynamic sampling drew ${batches.toFixed(1)} batches of prompts for a rollout, of at most ${1 + most}; it may draw more as rewards become equal. The largest step draws one`;

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);

/**
 * Evaluates one batch of the longest prompts, of the size that the flags give, with completions that never stop.
 *
 * @returns seconds that an evaluation of all rows would take at that speed
 */
async function rehearseEvaluation(
  rows: RowSource,
  evaluationSampler: CompletionSampler,
  parts: StepParts,
): Promise<number> {
  const { args, policy, reference, judging, signal, journal } = parts;
  const prompts = Math.max(1, Math.floor(args.perDeviceEvalBatchSize / args.numGenerationsEval));
  const { longest } = await lookAt(rows, Math.min(prompts, rows.length), { args, template: policy.template });
  const batch: RowSource = { length: longest.length, row: async (index) => longest[index]!.row };
  const tools = {
    sampler: neverStopping(evaluationSampler),
    model: policy.model,
    reference: reference?.model ?? null,
    judging: judging(0),
    signal,
  };
  const start = performance.now();
  await journal.time('eval', (tell) => evaluate(args, batch, { ...tools, tell }));
  return ((performance.now() - start) / 1000) * Math.ceil(rows.length / longest.length);
}

async function tellRewards(judged: readonly Judged[], { journal }: StepParts): Promise<void> {
  for (const { columns } of judged) {
    for (const { label, values } of columns) {
      const numbers = present(values);
      const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
      const told = numbers.length === 0 ? 'no value' : `mean ${mean.toFixed(4)}`;
      await journal.notice(
        'info',
        `dry run: reward ${label}: ${told}, ${values.length - numbers.length} of ${values.length} null`,
      );
    }
  }
}
