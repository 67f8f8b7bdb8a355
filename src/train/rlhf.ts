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
import { rlhfCommand } from '../arguments/rlhf.ts';
import { tdrProbe } from '../attention/probe.ts';
import { createSampler } from '../data/sampler.ts';
import { messageOf, SightlineError } from '../errors.ts';
import { type GroupAdvantages, groupAdvantages } from '../grpo/advantages.ts';
import { type BatchPlan, type MicroBatch, oldLogpsNeeded, optimizerStepAt, planBatches } from '../grpo/batching.ts';
import { countStep, grpoLoss, type LossSums } from '../grpo/loss.ts';
import { completionMetrics, entropyMetrics, lossMetrics, rewardMetrics } from '../grpo/metrics.ts';
import { runLength } from '../grpo/order.ts';
import { type RolloutGroup, type RolloutTools, rollout, scoredRollout } from '../grpo/rollout.ts';
import { createGenerator, type Generator } from '../models/qwen2_5_vl/generation.ts';
import type { Group, LayerProbe, Scored } from '../models/qwen2_5_vl/model.ts';
import { createSchedule, warmupStepsOf } from '../optim/schedule.ts';
import { loadPlugins } from '../rewards/plugin.ts';
import { createRewards, type Reward } from '../rewards/registry.ts';
import { createRandom, type Random } from '../util/random.ts';
import { createCheckpoints } from './checkpoints.ts';
import { completionRows } from './completions.ts';
import { openTrainingData, type TrainingData } from './data.ts';
import { evaluate } from './evaluation.ts';
import type { CompletionRow, Metrics, RunContext } from './events.ts';
import { createHackingWatch, type HackingWatch } from './hacking.ts';
import { createAverages, createJournal, type Journal } from './journal.ts';
import { type Judged, type JudgeOptions, judge, probedPrompts } from './judge.ts';
import { isDue, isLogDue } from './length.ts';
import { openPolicy, type Policy, policyOptions } from './policy.ts';
import { encodePrompt, type PromptOfRow } from './prompts.ts';
import { createReader, type Reader } from './reader.ts';
import { samplingOf } from './sampling.ts';
import { createUpdater, type Updater } from './update.ts';

/**
 * Trains as the arguments say; resolves after the `end` event.
 *
 * Errors: those of the parts; whatever is wrong with arguments, plugins, data or checkpoint is told before `start`.
 */
export async function runRlhf(args: RlhfArguments, context: RunContext): Promise<void> {
  const plan = planBatches(args);
  await loadPlugins(args.externalPlugins);
  const rewards = createRewards(args.rewardFuncs, argumentsToJson(rlhfCommand, { ...args }), args.rewardWeights);
  const data = await openTrainingData(args);
  const opened: { close(): Promise<void> }[] = [];
  try {
    const policy = await openPolicy(policyOptions(args, true));
    opened.push(policy);
    // The reference: the weights training starts from, never updated.
    const reference = args.beta === 0 ? null : await openPolicy(policyOptions(args, false));
    if (reference !== null) opened.push(reference);
    const { totalSteps } = runLength(plan, data.train.length, args);
    const updater = await createUpdater(policy.parameters, {
      beta1: args.adamBeta1,
      beta2: args.adamBeta2,
      epsilon: args.adamEpsilon,
      weightDecay: args.weightDecay,
      maxGradNorm: args.maxGradNorm,
      schedule: createSchedule({
        type: args.lrSchedulerType,
        learningRate: args.learningRate,
        totalSteps,
        warmupSteps: warmupStepsOf(totalSteps, args),
        kwargs: args.lrSchedulerKwargs ?? {},
      }),
    });
    opened.push({ close: () => updater.release() });
    const generator = createGenerator(policy.model);
    opened.push({ close: () => generator.release() });
    context.signal.throwIfAborted();
    await train(args, context, { plan, rewards, data, policy, reference, updater, generator, totalSteps });
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
  readonly policy: Policy;
  readonly reference: Policy | null;
  readonly updater: Updater;
  readonly generator: Generator;
  readonly totalSteps: number;
}

/** A rollout as the loop learns from it. Per-completion arrays are in the order of its groups. */
interface Experience {
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

async function train(args: RlhfArguments, context: RunContext, parts: Parts): Promise<void> {
  const { plan, rewards, data, policy, reference, updater, generator, totalSteps } = parts;
  const { model } = policy;
  const journal = createJournal(context);
  const random = createRandom(args.seed);
  const sampler = createSampler({ length: data.train.length, seed: args.dataSeed, shuffle: args.datasetShuffle });
  const reader = createReader(data.train, sampler, args.truncationStrategy, encodePrompt(policy.template));
  const checkpoints = createCheckpoints({
    outputDir: context.outputDir,
    source: policy.source,
    parameters: policy.parameters,
    updater,
    totalLimit: args.saveTotalLimit,
    onlyModel: args.saveOnlyModel,
    greaterIsBetter: true,
    emit: journal.emit,
  });
  const hacking = createHackingWatch(rewards);
  const averages = createAverages();
  const epochOf = (step: number): number =>
    (step * plan.completionsPerStep) / plan.numGenerations / plan.numIterations / data.train.length;

  await journal.emit({
    type: 'start',
    command: 'rlhf',
    changed: context.changed,
    model: policy.summary,
    data: data.summary,
    outputDir: context.outputDir,
    step: 0,
    maxSteps: totalSteps,
  });
  if (plan.notice !== null) await journal.notice('info', plan.notice);

  const judging = (step: number): JudgeOptions => ({
    rewards,
    model,
    attnProbe: args.attnProbe,
    logger: {
      debug: (line) => void journal.emit({ type: 'notice', level: 'debug', text: line }),
      info: (line) => void journal.notice('info', line),
      warn: (line) => void journal.notice('warn', line),
    },
    step,
    maxSteps: totalSteps,
  });
  const evaluateNow = async (step: number): Promise<void> => {
    if (data.evaluation === null) return;
    const metrics = await journal.time('eval', () =>
      evaluate(args, data.evaluation!, {
        policy,
        generator,
        random: random.fork('eval'),
        judging: judging(step),
        signal: context.signal,
      }),
    );
    await journal.emit({ type: 'eval', step, maxSteps: totalSteps, epoch: epochOf(step), metrics });
  };

  const collector: Collector = {
    args,
    plan,
    policy,
    reference,
    generator,
    reader,
    random,
    journal,
    judging,
    signal: context.signal,
  };
  const experiences = new Map<number, Experience>();
  let completionLog: CompletionRow[] = [];
  let saidNoReward = false;
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
        const experience = await collect(number, step, collector);
        experiences.set(number, experience);
        fresh.push(experience);
      }
      const { loss, sums } = await learn(microBatches, experiences, collector);
      for (const experience of fresh) {
        const { metrics, warnings } = experienceMetrics(experience, hacking);
        for (const text of warnings) await journal.notice('warn', text);
        averages.add(metrics);
        if (!saidNoReward && experience.judged.totals.every((total) => total === null)) {
          saidNoReward = true;
          await journal.notice('warn', noReward(step + 1, rewards));
        }
        if (args.logCompletions) completionLog.push(...completionRows(experience));
      }
      const update = await journal.time('update', () => updater.update());
      for (const number of [...experiences.keys()]) {
        const stillUsed = optimizerStepAt(plan, step + 1).some(({ rollout: used }) => used === number);
        if (!stillUsed) experiences.delete(number);
      }
      step++;
      const before = epoch;
      epoch = epochOf(step);
      resume = { sampler: { ...sampler.state() } };
      if (update.skipped) await journal.notice('warn', `step ${step}: the gradient is not finite; the step is skipped`);
      averages.add({
        loss,
        ...(update.skipped ? {} : { grad_norm: update.gradNorm }),
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
      if (isDue(args.saveStrategy, args.saveSteps, done)) await save();
    }
  } catch (error) {
    const stopped = context.signal.aborted && error === context.signal.reason;
    // The step under way is dropped; what was learned before it is kept. A bug of ours may have struck amid an update,
    // so what it leaves is not saved.
    if (step > 0 && args.saveStrategy !== 'no' && (stopped || error instanceof SightlineError)) {
      await save().catch(async (fault) => {
        if (stopped) throw fault;
        await journal.notice('warn', `step ${step} could not be saved: ${messageOf(fault)}`);
      });
    }
    if (!stopped) throw error;
  }
  if (reader.passedOver > 0) {
    await journal.notice('info', `${reader.passedOver} times a row was passed over: its prompt is too long`);
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

// --- collecting experience ---

interface Collector {
  readonly args: RlhfArguments;
  readonly plan: BatchPlan;
  readonly policy: Policy;
  readonly reference: Policy | null;
  readonly generator: Generator;
  readonly reader: Reader<PromptOfRow>;
  readonly random: Random;
  readonly journal: Journal;
  readonly judging: (step: number) => JudgeOptions;
  readonly signal: AbortSignal;
}

/** Samples a rollout, scores what has to be scored before the rewards, judges it. */
async function collect(number: number, step: number, collector: Collector): Promise<Experience> {
  const { args, plan, policy, reference, generator, reader, random, journal, judging, signal } = collector;
  const { template } = policy;
  const prompts = await journal.time('data', () => reader.next(plan.promptsPerRollout));
  const options = judging(step);
  const measures = args.attnProbe !== 'eager' && options.rewards.some(({ needs }) => needs.includes('attention'));
  const probe = measures
    ? tdrProbe(probedPrompts(prompts), visualIds(policy), policy.config.text.numHiddenLayers)
    : undefined;
  // One micro-batch a step, and one step a rollout: what is scored here is what is learned from.
  const learnsFromThis =
    plan.microBatchesPerStep === 1 && plan.microBatchesPerRollout === 1 && plan.numIterations === 1;
  const needsOld = oldLogpsNeeded(plan, number).some(Boolean);
  const tools = { generator, template, random: random.fork(`rollout ${number}`), signal };
  const { groups, scored } = await sampleAndScore(prompts, tools, collector, {
    learnsFromThis,
    isNeeded: learnsFromThis || needsOld || measures,
    probe,
  });
  const packed = groups.map(toGroup);
  const refLogps =
    reference === null
      ? null
      : await journal.time('reference', async () =>
          logpsOf(await reference.model.score(packed, { temperature: args.temperature, keep: false })),
        );

  const judged = await journal.time('reward', () => judge(groups, measures ? scored!.completions : null, options));
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

/** Completions, and their scores if somebody needs them: out of the rollout itself, or from a forward. */
async function sampleAndScore(
  prompts: readonly Pick<RolloutGroup, 'row' | 'prompt'>[],
  tools: RolloutTools,
  { args, policy, journal }: Collector,
  want: { readonly learnsFromThis: boolean; readonly isNeeded: boolean; readonly probe: LayerProbe | undefined },
): Promise<{ groups: RolloutGroup[]; scored: Scored | null }> {
  const sampling = samplingOf(args, policy);
  if (want.learnsFromThis && args.reuseRollout) {
    return journal.time('rollout', () => scoredRollout(prompts, sampling, tools, want.probe));
  }
  const groups = await journal.time('rollout', () => rollout(prompts, sampling, tools));
  if (!want.isNeeded) return { groups, scored: null };
  const options = { temperature: args.temperature, keep: want.learnsFromThis, probe: want.probe };
  return { groups, scored: await journal.time('forward', () => policy.model.score(groups.map(toGroup), options)) };
}

/** What a rollout says about rewards, lengths and entropy, before anything is learned from it. */
function experienceMetrics(
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
      ...entropyMetrics(
        entropies.filter((entropy) => entropy !== null),
        null,
      ),
      ...judged.metrics,
      ...correlations.metrics,
    },
    warnings: correlations.warnings,
  };
}

function noReward(step: number, rewards: readonly Reward[]): string {
  const names = rewards.map(({ name }) => name).join(', ');
  return `step ${step}: no completion got a reward (${names}: null), so nothing is learned from it. A null says that a reward does not apply: check the columns and images of the dataset, and what the rewards ask for.`;
}

// --- learning ---

/** Forward and backward of a step's micro-batches; gradients are left in their accumulators. */
async function learn(
  microBatches: readonly MicroBatch[],
  experiences: ReadonlyMap<number, Experience>,
  { args, policy, journal, signal }: Collector,
): Promise<{ loss: number; sums: LossSums[] }> {
  const { model } = policy;
  const parts = microBatches.map((microBatch) => partOf(microBatch, experiences.get(microBatch.rollout)!));
  const counts = countStep(parts.map(({ lengths }) => ({ lengths, mask: null })));
  let loss = 0;
  const sums: LossSums[] = [];
  for (const [i, part] of parts.entries()) {
    signal.throwIfAborted();
    const { experience } = part;
    const scored =
      experience.scored ??
      (await journal.time('forward', () => model.score(part.groups, { temperature: args.temperature, keep: true })));
    experience.scored = null; // its buffers are the next forward's
    const completions = scored.completions.flat();
    const entropies = entropiesOf(scored);
    for (const [k, which] of part.indices.entries()) experience.entropies[which] ??= entropies[k]!;
    const result = grpoLoss(
      {
        logps: completions.map(({ logps }) => logps),
        oldLogps: microBatches[i]!.onPolicy ? null : part.oldLogps,
        refLogps: part.refLogps,
        advantages: part.advantages,
        mask: null,
      },
      args,
      counts,
    );
    loss += result.loss;
    sums.push(result.sums);
    await journal.time('backward', () => model.backward(scored.tape!, flatten(result.dLogps)));
  }
  return { loss, sums };
}

interface Part {
  readonly experience: Experience;
  readonly groups: readonly Group[];
  /** Its completions, counted within the rollout. */
  readonly indices: readonly number[];
  readonly lengths: readonly number[];
  readonly advantages: Float64Array;
  readonly oldLogps: readonly Float32Array[] | null;
  readonly refLogps: readonly Float32Array[] | null;
}

/** The completions of a micro-batch, cut out of its rollout. */
function partOf({ runs }: MicroBatch, experience: Experience): Part {
  const size = experience.groups[0]!.completions.length;
  const groups = runs.map(({ group, begin, end }): Group => {
    const whole = toGroup(experience.groups[group]!);
    return { ...whole, completions: whole.completions.slice(begin - group * size, end - group * size) };
  });
  const pick = <T>(values: readonly T[]): T[] => runs.flatMap(({ begin, end }) => values.slice(begin, end));
  return {
    experience,
    groups,
    indices: runs.flatMap(({ begin, end }) => Array.from({ length: end - begin }, (_, i) => begin + i)),
    lengths: groups.flatMap(({ completions }) => completions.map(({ length }) => length)),
    advantages: Float64Array.from(pick([...experience.advantages.advantages])),
    oldLogps: experience.oldLogps === null ? null : pick(experience.oldLogps),
    refLogps: experience.refLogps === null ? null : pick(experience.refLogps),
  };
}

const toGroup = ({ prompt, completions }: RolloutGroup): Group => ({
  promptIds: prompt.ids,
  images: prompt.images,
  completions: completions.map(({ ids }) => ids),
});

const logpsOf = ({ completions }: Scored): Float32Array[] => completions.flat().map(({ logps }) => logps.slice());

const entropiesOf = ({ completions }: Scored): Float32Array[] =>
  completions.flat().map(({ entropies }) => entropies.slice());

const visualIds = ({ config }: Policy): number[] => [config.imageTokenId, config.videoTokenId];

function flatten(rows: readonly Float64Array[]): Float32Array {
  const flat = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let next = 0;
  for (const row of rows) {
    flat.set(row, next);
    next += row.length;
  }
  return flat;
}
