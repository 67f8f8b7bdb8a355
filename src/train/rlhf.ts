/**
 * GRPO (Shao et al. 2024): sample a group of completions per prompt, judge them, learn from how they differ.
 * Reads like the box in the paper; reports, displays and saves listen to its events.
 *
 * A step that learns from one rollout in one micro-batch runs no training forward: backward starts from the rows that
 * decoding has computed. grpo/score_plan.ts says when a forward is run, and for what.
 */
import { argumentsToJson } from '../arguments/args_json.ts';
import type { RlhfArguments } from '../arguments/resolve.ts';
import { rlhfWithRewards } from '../arguments/reward_flags.ts';
import type { Row } from '../data/row.ts';
import { createGenerator } from '../engine/generation.ts';
import { optimizerStepAt, planBatches } from '../grpo/batching.ts';
import { paceOf, promptsOfRun } from '../grpo/epochs.ts';
import { lossMetrics, samplingDifference } from '../grpo/metrics.ts';
import type { CompletionSampler, RolloutPrompt } from '../grpo/rollout.ts';
import { createRewards } from '../rewards/registry.ts';
import type { Reward } from '../rewards/reward.ts';
import { createRandom } from '../util/random.ts';
import { closing } from '../util/resources.ts';
import { checkAttentionNeeds } from './attention_needs.ts';
import { completionRows } from './completions.ts';
import { openTrainingData, type RowSource } from './data.ts';
import { openDevice, openDeviceToCount } from './device.ts';
import { foretellDevice } from './device_need.ts';
import { lookAt, rehearse } from './dry_run.ts';
import { evaluate } from './evaluation.ts';
import { type CompletionRow, type LoggedAttention, type Metrics, noteTo, type RunContext } from './events.ts';
import { collect, type Experience, experienceMetrics, type StepParts } from './experience.ts';
import { wantedTransforms } from './image_changes.ts';
import { createJournal, type TellProgress } from './journal.ts';
import type { JudgeOptions } from './judge.ts';
import { entropiesOf, learn } from './learn.ts';
import { attentionForLog, isAttentionDue, loggedLayers } from './logged_attention.ts';
import { type Run, type StepResult, type Training, tellStart, trainingLoop } from './loop.ts';
import { createMovingReference } from './moving_reference.ts';
import { dropoutOf, dropoutRate, policyOptions, preparePolicy } from './policy.ts';
import { loaderOf, tryFirstRows } from './preflight.ts';
import { encodePrompt } from './prompts.ts';
import {
  type CompletionRowState,
  completionRowFrom,
  completionRowState,
  type ExperienceState,
  experienceFrom,
  experienceState,
} from './resume/experience_state.ts';
import { inputDigests } from './resume/inputs.ts';
import { checkKeptExperience } from './resume/kept_experience_check.ts';
import { readResumed, restoreResumed } from './resume/resumed.ts';
import { checkRewardColumns } from './reward_columns.ts';
import { createHackingWatch } from './reward_hacking.ts';
import { type RunLength, runLength } from './run_length.ts';
import { checkRlhfMemory } from './run_memory.ts';
import { evaluationSampling, samplingOf } from './sampling.ts';
import { shownSignals } from './signals.ts';
import { createStandstillWatch } from './stalled_run.ts';
import { createToolsCheck } from './tools_check.ts';
import { createValueWatch } from './undefined_rewards.ts';
import { createUpdater, type Updater } from './update.ts';
import { updateOptions } from './update_options.ts';

/**
 * Trains as the arguments say; resolves after the `end` event. Plugins must have been loaded before, because the flags of their
 * rewards are among the arguments.
 *
 * Errors: those of the parts. Faults of rewards, data and checkpoint are thrown before the `start` event.
 */
export async function runRlhf(args: RlhfArguments, context: RunContext): Promise<void> {
  const { signal, emit } = context;
  const plan = planBatches(args);
  const rewards = createRewards(args.rewardFuncs, argumentsToJson(rlhfWithRewards(), { ...args }), args.rewardWeights);
  await closing(async (keep) => {
    await emit({ type: 'phase', phase: 'check data', begins: true });
    const data = keep(await openTrainingData(args, createToolsCheck(args.modelDir)));
    const lacking = await checkRewardColumns(rewards, data.opened);
    const length = runLength(paceOf(plan, data.train.length), args);
    const totalSteps = length.maxSteps;
    // Pixels are kept only if rows come again: in evaluations, or after an epoch.
    const drawn = promptsOfRun(plan, totalSteps) * (args.dynamicSample ? 1 + args.maxResampleTimes : 1);
    const keepsPixels = data.evaluation !== null || drawn > data.train.length;
    await emit({ type: 'phase', phase: 'open model', begins: true });
    // Before any weight is read, arguments, headers of files and the first rows are checked.
    const keepImages = keepsPixels && !args.dryRun;
    const device = await (args.dryRun ? openDeviceToCount(args, context) : openDevice(args, context));
    const hasOwnMemory = device === null || !device.sharesMemory;
    const on = { device: device ?? undefined };
    const prepared = keep(await preparePolicy({ ...policyOptions(args, true, noteTo(context)), keepImages, ...on }));
    // The reference has the weights that training starts from; they are never updated. With an adapter, these are the
    // policy's own weights.
    const hasReference = args.beta !== 0;
    const preparedReference =
      hasReference && prepared.adapter === null
        ? keep(await preparePolicy({ ...policyOptions(args, false), frozen: null, movable: args.syncRefModel, ...on }))
        : null;
    const sampling = samplingOf(args, prepared);
    const evaluationSettings = evaluationSampling(args, prepared);
    const updating = updateOptions(args, totalSteps);
    const encode = encodePrompt(prepared.template);
    const first = await tryFirstRows(data, args, encode);
    const inputs = inputDigests(data.opened, prepared);
    const from = readResumed(context, 'rlhf', inputs);
    const saved = from?.loop.steps as StepsState | null | undefined;
    if (saved != null)
      checkKeptExperience(
        context.resume!.dir,
        saved.experiences.map(([, each]) => each),
        args,
      );
    checkAttentionNeeds(rewards, prepared.modelConfig);
    const attentionLayers = loggedLayers(args.attnLogLayers, prepared.modelConfig.text.numHiddenLayers);
    const changesImages = wantedTransforms(args, rewards).length > 0;
    await checkRlhfMemory(
      args,
      plan,
      { policy: prepared, reference: preparedReference, first, changesImages, hasOwnMemory },
      context,
    );
    if (hasOwnMemory && (args.dryRun || args.deviceMemory !== null)) {
      const counted = { args, plan, policy: prepared, reference: preparedReference, rewards, sampling, updating };
      const { longest } = args.dryRun
        ? await lookAt(data.train, plan.promptsPerRollout, { args, template: prepared.template })
        : { longest: first === null ? [] : Array.from({ length: plan.promptsPerRollout }, () => first) };
      if (longest.length > 0) await foretellDevice(counted, longest, context);
    }
    if (device === null) {
      await emit({ type: 'notice', level: 'info', text: 'dry run: done; nothing was computed or written' });
      return;
    }
    const loader = loaderOf(context);
    const policy = keep(await loader(prepared, 'model'));
    const ofItsOwn = preparedReference && keep(await loader(preparedReference, 'reference'));
    const reference = ofItsOwn ?? (hasReference ? { model: await policy.reference() } : null);
    const updater = keep(await createUpdater(policy.parameters, updating));
    const moving =
      args.syncRefModel && ofItsOwn !== null
        ? keep(
            await createMovingReference(policy.parameters, ofItsOwn.parameters, {
              ...args,
              forgetImages: () => ofItsOwn.model.images.forget(),
            }),
          )
        : null;
    await restoreResumed(context, policy, prepared.modelConfig, updater, moving);
    const generator = keep(createGenerator(policy.model));
    signal.throwIfAborted();

    const journal = createJournal(context);
    const judging = (step: number): JudgeOptions => ({
      rewards,
      model: policy.model,
      attnProbe: args.attnProbe,
      normBbox: args.normBbox ?? policy.model.modelConfig.architecture.normBbox,
      rule: { timeout: args.rewardTimeout, onError: args.rewardError },
      logger: {
        debug: (line) => void journal.emit({ type: 'notice', level: 'debug', text: line }),
        info: (line) => void journal.notice('info', line),
        warn: (line) => void journal.notice('warn', line),
      },
      step,
      maxSteps: totalSteps,
      signal,
    });
    const random = createRandom(args.seed);
    const { template } = policy;
    const sampler: CompletionSampler = { generator, template, sampling, random };
    const parts: StepParts = { args, plan, policy, reference, moving, sampler, judging, journal, signal };
    const evaluationSampler = { ...sampler, sampling: evaluationSettings, random: random.fork('eval') };
    const evaluation = { sampler: evaluationSampler, model: policy.model, reference: reference?.model ?? null };
    const signals = shownSignals(rewards);
    const run: Run = { command: 'rlhf', args, context, journal, data, policy, length, signals, inputs, from };
    await tellStart(run);
    for (const text of from?.notices ?? []) await journal.notice('warn', text);
    if (plan.notice !== null) await journal.notice('info', plan.notice);
    if (args.dryRun) {
      await rehearse({ data, lacking, updater, length, keepsPixels, evaluationSampler }, parts);
      return;
    }
    for (const text of lacking) await journal.notice('warn', text);
    if (args.reuseRollout && dropoutRate(policy) > 0) await journal.notice('info', DROPOUT_NOTICE(dropoutRate(policy)));
    if (args.rolloutImportanceSamplingMode !== null && !policy.samplesRounded)
      await journal.notice('info', SAME_POLICY);
    await trainingLoop({
      ...{
        ...run,
        updater,
        moving,
        encode,
        ...stepsOf(parts, updater, rewards, { rowAt: data.rowAt, encode }, { length, attentionLayers }),
      },
      best: { metric: 'reward', greaterIsBetter: true },
      tooLong: 'its prompt is too long',
      evaluate: (rows: RowSource, done: number, tell: TellProgress): Promise<Metrics> =>
        evaluate(args, rows, { ...evaluation, judging: judging(done), signal, tell }),
    });
  });
}

// --- internal ---

const DROPOUT_NOTICE = (rate: number): string =>
  `the adapter has dropout ${rate}, which sampled rows have not: every step runs a training forward; --lora_dropout 0 learns from the rows that sampling has computed`;

const SAME_POLICY =
  'sampling and training compute the same log-probabilities up to float32 rounding, so --rollout_importance_sampling_mode weighs tokens by about 1; it matters with --quant_bits on the CPU';

/** The steps of GRPO: collect experience, learn from it, update. */
function stepsOf(
  parts: StepParts,
  updater: Updater,
  rewards: readonly Reward[],
  rows: { rowAt(index: number): Promise<Row>; encode(row: Row): Promise<RolloutPrompt> },
  { length, attentionLayers: layers }: { readonly length: RunLength; readonly attentionLayers: readonly number[] },
): Pick<Training<RolloutPrompt>, 'step' | 'logged' | 'snapshot' | 'restore'> {
  const { args, plan, journal } = parts;
  const hacking = createHackingWatch(rewards);
  const values = createValueWatch();
  const standstill = createStandstillWatch(args);
  const experiences = new Map<number, Experience>();
  let completionLog: CompletionRow[] = [];
  // Measured in a step that is logged, so that no checkpoint comes between measuring and writing.
  let attentionLog: LoggedAttention | null = null;
  const logsAttention = args.logAttention && args.attnLogLimit > 0;

  return {
    async step(done, next): Promise<StepResult> {
      const start = performance.now();
      const step = done + 1;
      const records: Metrics[] = [];
      const microBatches = optimizerStepAt(plan, done);
      const fresh: Experience[] = [];
      for (const { rollout: number } of microBatches) {
        if (experiences.has(number)) continue;
        const prompts = (): Promise<RolloutPrompt[]> => next(plan.promptsPerRollout);
        const experience = await collect(await prompts(), number, done, parts, prompts);
        experiences.set(number, experience);
        fresh.push(experience);
      }
      const learned = await learn(microBatches, experiences, parts, (microBatch) =>
        dropoutOf(parts.policy, parts.sampler.random, `${done}/${microBatch}`),
      );
      const { loss, sums, entropyThreshold } = learned;
      for (const experience of fresh) {
        const entropies = entropiesOf(experience, learned);
        const { metrics, warnings } = experienceMetrics(experience, entropies, hacking);
        const missing = values.observe(experience.judged, step);
        for (const text of [...warnings, ...missing]) await journal.notice('warn', text);
        records.push(metrics);
        if (args.logCompletions) {
          if (logsAttention && attentionLog === null && isAttentionDue(args, step, length)) {
            const found = await journal.time('attention', () =>
              attentionForLog(experience, entropies, completionLog.length, {
                model: parts.policy.model,
                template: parts.sampler.template,
                layers,
              }),
            );
            attentionLog = found?.logged ?? null;
            records.push(found?.metrics ?? {});
          }
          completionLog.push(...completionRows(experience, entropies));
        }
      }
      const { skipped, gradNorm, learningRate } = await journal.time('update', () => updater.update());
      await parts.moving?.follow(step);
      const lessons = new Set(microBatches.map(({ rollout }) => experiences.get(rollout)!));
      const still = standstill.observe({ step, loss, gradNorm }, lessons);
      const stillUsed = new Set(optimizerStepAt(plan, step).map(({ rollout }) => rollout));
      for (const number of [...experiences.keys()]) if (!stillUsed.has(number)) experiences.delete(number);
      records.push({
        ...(skipped ? { skipped_steps: 1 } : { loss, grad_norm: gradNorm }),
        learning_rate: learningRate,
        ...lossMetrics(sums),
        ...learned.correctionMetrics,
        ...samplingDifference(learned.sampling.sampled, learned.sampling.scored),
        ...(entropyThreshold === null ? {} : { 'entropy/threshold': entropyThreshold }),
        step_time: (performance.now() - start) / 1000,
      });
      const overflow = skipped ? [`step ${step}: the gradient is not finite; the step is skipped`] : [];
      return { records, warnings: [...overflow, ...(still === null ? [] : [still])] };
    },

    async logged(step) {
      if (completionLog.length > 0) {
        await journal.emit({ type: 'completions', step, rows: completionLog, attention: attentionLog });
      }
      completionLog = [];
      attentionLog = null;
    },

    snapshot() {
      const [kept, waiting] = [[...experiences], [...completionLog]];
      return (): StepsState => ({
        experiences: kept.map(([number, experience]) => [
          number,
          experienceState(experience, args.rolloutImportanceSamplingMode !== null),
        ]),
        completions: waiting.map(completionRowState),
      });
    },

    async restore(state) {
      const { experiences: kept, completions } = state as StepsState;
      for (const [number, saved] of kept) {
        experiences.set(number, await experienceFrom(saved, rows.rowAt, rows.encode));
      }
      for (const row of completions) completionLog.push(await completionRowFrom(row, rows.rowAt));
    },
  };
}

/** What a step leaves for later ones. */
interface StepsState {
  /** Rollouts that are learned from again, by their number. */
  readonly experiences: readonly (readonly [number, ExperienceState])[];
  /** Completions since the last log. */
  readonly completions: readonly CompletionRowState[];
}
