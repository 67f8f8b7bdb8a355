/**
 * GRPO (Shao et al. 2024): sample a group of completions per prompt, judge them, learn from how they differ.
 * Reads like the paper's box; whoever reports, draws or saves listens to the events.
 *
 * An on-policy step runs no training forward: decoding has computed every row of the completions, so the rollout gives
 * log-probabilities, entropies, the attention masses of rewards, and what backward needs (`--reuse_rollout false` runs
 * one forward for all of these instead). A scoring pass of its own is made only where the options require one: old
 * log-probabilities of a rollout that outlives an update, or attention masses of a rollout that is learned from in
 * several micro-batches.
 */
import { argumentsToJson } from '../arguments/args_json.ts';
import type { RlhfArguments } from '../arguments/resolve.ts';
import { rlhfWithRewards } from '../arguments/reward_flags.ts';
import { createSampler } from '../data/sampler.ts';
import { createGenerator, type Generator } from '../engine/generation.ts';
import { type BatchPlan, optimizerStepAt, planBatches } from '../grpo/batching.ts';
import { lossMetrics } from '../grpo/metrics.ts';
import type { Sampling } from '../grpo/rollout.ts';
import { promptsOfRun, runLength } from '../grpo/run_length.ts';
import { createRewards, type Reward } from '../rewards/registry.ts';
import { createRandom } from '../util/random.ts';
import { firstRow, loaderOf, tryFirst } from './before_weights.ts';
import { createCheckpoints } from './checkpoints.ts';
import { completionRows } from './completions.ts';
import { openTrainingData, type TrainingData } from './data.ts';
import { evaluate } from './evaluation.ts';
import { type CompletionRow, noteTo, type RunContext } from './events.ts';
import { type Collector, collect, type Experience, experienceMetrics } from './experience.ts';
import { createHackingWatch } from './hacking.ts';
import { createAverages, createJournal, type Journal } from './journal.ts';
import type { JudgeOptions } from './judge.ts';
import { saveUnfinished } from './last_save.ts';
import { learn } from './learn.ts';
import { isDue, isLogDue, plannedOf } from './length.ts';
import { type Policy, policyOptions, preparePolicy } from './policy.ts';
import { encodePrompt } from './prompts.ts';
import { createReader } from './reader.ts';
import { rehearse } from './rehearsal.ts';
import { checkRewardColumns } from './reward_columns.ts';
import { checkRlhfMemory } from './run_memory.ts';
import { samplingOf } from './sampling.ts';
import { saveAmid } from './save_amid.ts';
import { shownSignals } from './signals.ts';
import { createStandstillWatch } from './standstill.ts';
import { createToolsCheck } from './tools_check.ts';
import { createUpdater, type Updater } from './update.ts';
import { updateOptions } from './update_options.ts';
import { createValueWatch } from './without_value.ts';

/**
 * Trains as the arguments say; resolves after the `end` event.
 *
 * Plugins are loaded by then: the flags of their rewards are among the arguments.
 *
 * Errors: those of the parts; whatever is wrong with rewards, data or checkpoint is told before `start`.
 */
export async function runRlhf(args: RlhfArguments, context: RunContext): Promise<void> {
  const plan = planBatches(args);
  const rewards = createRewards(args.rewardFuncs, argumentsToJson(rlhfWithRewards(), { ...args }), args.rewardWeights);
  await context.emit({ type: 'phase', phase: 'check data', begins: true });
  const data = await openTrainingData(args, createToolsCheck(args.modelDir));
  const opened: { close(): Promise<void> }[] = [];
  try {
    const lacking = checkRewardColumns(rewards, data.opened);
    const totalSteps = runLength(plan, data.train.length, args);
    // Pixels are worth keeping for rows that come again: of evaluations, and after an epoch.
    const keepsPixels = data.evaluation !== null || promptsOfRun(plan, totalSteps) > data.train.length;
    await context.emit({ type: 'phase', phase: 'open model', begins: true });
    // What arguments, files' headers and the first rows can tell is told here, before a weight is read.
    const prepared = await preparePolicy({
      ...policyOptions(args, true, noteTo(context)),
      keepImages: keepsPixels && !args.dryRun,
    });
    opened.push(prepared);
    // The reference: the weights training starts from, never updated.
    const preparedReference = args.beta === 0 ? null : await preparePolicy(policyOptions(args, false));
    if (preparedReference !== null) opened.push(preparedReference);
    const sampling = samplingOf(args, prepared);
    const updating = updateOptions(args, totalSteps);
    const encode = encodePrompt(prepared.template);
    const first = await tryFirst(data.train, firstRow(data.train.length, args), args.truncationStrategy, encode);
    if (data.evaluation !== null) await tryFirst(data.evaluation, 0, args.truncationStrategy, encode);
    await checkRlhfMemory(args, plan, { policy: prepared, reference: preparedReference, first }, context);
    const loader = loaderOf(context);
    const policy = await loader(prepared, 'model');
    opened[0] = policy;
    const reference = preparedReference && (await loader(preparedReference, 'reference'));
    if (reference !== null) opened[1] = reference;
    const updater = await createUpdater(policy.parameters, updating);
    opened.push({ close: () => updater.release() });
    const generator = createGenerator(policy.model);
    opened.push({ close: () => generator.release() });
    context.signal.throwIfAborted();
    const run = {
      plan,
      rewards,
      data,
      lacking,
      policy,
      reference,
      updater,
      generator,
      sampling,
      totalSteps,
      keepsPixels,
    };
    const collector = collectorOf(args, context, run);
    if (args.dryRun) {
      await tellStart(args, context, run, collector.journal);
      await rehearse(run, plannedBy(args, run), collector);
    } else await train(args, context, run, collector);
  } finally {
    for (const part of opened.reverse()) await part.close();
    data.close();
  }
}

// --- internal ---

interface Parts {
  readonly plan: BatchPlan;
  readonly rewards: readonly Reward[];
  readonly data: TrainingData;
  /** What there is to say of columns that some rows lack. */
  readonly lacking: readonly string[];
  readonly policy: Policy;
  readonly reference: Policy | null;
  readonly updater: Updater;
  readonly generator: Generator;
  readonly sampling: Sampling;
  readonly totalSteps: number;
  readonly keepsPixels: boolean;
}

async function train(args: RlhfArguments, context: RunContext, parts: Parts, collector: Collector): Promise<void> {
  const { plan, rewards, data, lacking, policy, updater, generator, totalSteps } = parts;
  const { journal, judging, random } = collector;
  const sampler = createSampler({ length: data.train.length, seed: args.dataSeed, shuffle: args.datasetShuffle });
  const reader = createReader(data.train, sampler, args.truncationStrategy, encodePrompt(policy.template));
  const nextPrompts = () => journal.time('data', () => reader.next(plan.promptsPerRollout));
  const checkpoints = createCheckpoints({
    outputDir: context.outputDir,
    source: policy.source,
    parameters: policy.parameters,
    updater,
    prompts: args,
    totalLimit: args.saveTotalLimit,
    onlyModel: args.saveOnlyModel,
    greaterIsBetter: true,
    emit: journal.emit,
  });
  const hacking = createHackingWatch(rewards);
  const values = createValueWatch();
  const standstill = createStandstillWatch(args);
  const averages = createAverages();
  const epochOf = epochsAfter(parts);

  await tellStart(args, context, parts, journal);
  for (const text of lacking) await journal.notice('warn', text);

  const evaluateNow = async (step: number): Promise<void> => {
    if (data.evaluation === null) return;
    const metrics = await journal.time('eval', (tell) =>
      evaluate(args, data.evaluation!, {
        policy,
        generator,
        random: random.fork('eval'),
        judging: judging(step),
        signal: context.signal,
        tell,
      }),
    );
    await journal.emit({ type: 'eval', step, maxSteps: totalSteps, epoch: epochOf(step), metrics });
  };

  const experiences = new Map<number, Experience>();
  let completionLog: CompletionRow[] = [];
  let step = 0;
  let epoch = 0;
  // What the next step starts from: the rows of a step that is dropped are not used up.
  let resume = { sampler: { ...sampler.state() } };
  const save = async (): Promise<void> => {
    await journal.time('save', () =>
      checkpoints.save({
        step,
        maxSteps: totalSteps,
        epoch,
        metric: journal.evaluationAt(step)?.reward ?? null,
        logHistory: journal.history(),
        loop: resume,
      }),
    );
  };

  try {
    if (args.evalOnStart) await evaluateNow(0);
    while (step < totalSteps) {
      context.signal.throwIfAborted();
      const start = performance.now();
      const microBatches = optimizerStepAt(plan, step);
      const fresh: Experience[] = [];
      for (const { rollout: number } of microBatches) {
        if (experiences.has(number)) continue;
        const experience = await collect(await nextPrompts(), number, step, collector);
        experiences.set(number, experience);
        fresh.push(experience);
      }
      const { loss, sums } = await learn(microBatches, experiences, collector);
      for (const experience of fresh) {
        const { metrics, warnings } = experienceMetrics(experience, hacking);
        const missing = values.observe(experience.judged, step + 1);
        for (const text of [...warnings, ...missing]) await journal.notice('warn', text);
        averages.add(metrics);
        if (args.logCompletions) completionLog.push(...completionRows(experience));
      }
      const update = await journal.time('update', () => updater.update());
      const lessons = new Set(microBatches.map(({ rollout }) => experiences.get(rollout)!));
      const still = standstill.observe({ step: step + 1, loss, gradNorm: update.gradNorm }, lessons);
      for (const number of [...experiences.keys()]) {
        const stillUsed = optimizerStepAt(plan, step + 1).some(({ rollout: used }) => used === number);
        if (!stillUsed) experiences.delete(number);
      }
      step++;
      const before = epoch;
      epoch = epochOf(step);
      resume = { sampler: { ...sampler.state() } };
      if (update.skipped) await journal.notice('warn', `step ${step}: the gradient is not finite; the step is skipped`);
      if (still !== null) await journal.notice('warn', still);
      averages.add({
        ...(update.skipped ? { skipped_steps: 1 } : { loss, grad_norm: update.gradNorm }),
        learning_rate: update.learningRate,
        ...lossMetrics(sums),
        step_time: (performance.now() - start) / 1000,
      });
      await journal.emit({ type: 'progress', step, maxSteps: totalSteps, epoch });

      const done = { step, maxSteps: totalSteps, epochBefore: before, epoch };
      if (isLogDue(args, done)) {
        await journal.emit({ type: 'log', step, maxSteps: totalSteps, epoch, metrics: averages.take() });
        if (completionLog.length > 0) await journal.emit({ type: 'completions', step, rows: completionLog });
        completionLog = [];
      }
      if (isDue(args.evalStrategy, args.evalSteps, done)) await evaluateNow(step);
      if (isDue(args.saveStrategy, args.saveSteps, done)) await saveAmid({ step, maxSteps: totalSteps, journal, save });
    }
  } catch (error) {
    const { saveStrategy } = args;
    await saveUnfinished(error, { step, saveStrategy, signal: context.signal, journal, save });
  }
  if (reader.passedOver > 0) {
    await journal.notice('info', `${reader.passedOver} times a row was skipped because its prompt is too long`);
  }
  await journal.emit({
    type: 'end',
    status: step === totalSteps ? 'completed' : 'interrupted',
    step,
    maxSteps: totalSteps,
    outputDir: context.outputDir,
    ...journal.summary(),
    ...checkpoints.summary(),
  });
}

/** Passes over the data after so many steps, with fraction. */
const epochsAfter =
  ({ plan, data }: Pick<Parts, 'plan' | 'data'>) =>
  (step: number): number =>
    (step * plan.completionsPerStep) / plan.numGenerations / plan.numIterations / data.train.length;

const plannedBy = (args: RlhfArguments, parts: Pick<Parts, 'plan' | 'data' | 'totalSteps'>) =>
  plannedOf({ ...args, evaluates: parts.data.evaluation !== null }, parts.totalSteps, epochsAfter(parts));

/** The `start` event, and what there is to say of the plan. */
async function tellStart(args: RlhfArguments, context: RunContext, parts: Parts, journal: Journal): Promise<void> {
  const { plan, data, policy, totalSteps } = parts;
  await journal.emit({
    type: 'start',
    command: 'rlhf',
    changed: context.changed,
    model: policy.summary,
    data: data.summary,
    outputDir: context.outputDir,
    step: 0,
    maxSteps: totalSteps,
    signals: shownSignals(parts.rewards),
    planned: plannedBy(args, parts),
    dryRun: args.dryRun,
  });
  if (plan.notice !== null) await journal.notice('info', plan.notice);
}

/** What collecting experience takes, from the parts of the run. */
function collectorOf(args: RlhfArguments, context: RunContext, parts: Parts): Collector {
  const { plan, rewards, policy, reference, generator, sampling, totalSteps } = parts;
  const journal = createJournal(context);
  const judging = (step: number): JudgeOptions => ({
    rewards,
    model: policy.model,
    attnProbe: args.attnProbe,
    logger: {
      debug: (line) => void journal.emit({ type: 'notice', level: 'debug', text: line }),
      info: (line) => void journal.notice('info', line),
      warn: (line) => void journal.notice('warn', line),
    },
    step,
    maxSteps: totalSteps,
    signal: context.signal,
  });
  return {
    args,
    plan,
    policy,
    reference,
    generator,
    sampling,
    random: createRandom(args.seed),
    journal,
    judging,
    signal: context.signal,
  };
}
