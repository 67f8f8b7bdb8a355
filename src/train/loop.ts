/**
 * The loop of every training command: steps, and logs, evaluations and saves between them. When a run is stopped, the steps
 * that it has done are saved. Knows rows by number and the records of steps, not what is learned.
 */
import type { RlhfArguments, SftArguments } from '../arguments/resolve.ts';
import type { Row } from '../data/row.ts';
import { createSampler, restoreSampler } from '../data/sampler.ts';
import { createAverages } from './averages.ts';
import { createCheckpoints } from './checkpoints.ts';
import type { RowSource, TrainingData } from './data.ts';
import type { Metrics, RunContext, StartEvent } from './events.ts';
import type { Journal, TellProgress } from './journal.ts';
import type { MovingReference } from './moving_reference.ts';
import type { Policy } from './policy.ts';
import type { InputDigests } from './resume/inputs.ts';
import { earlierCheckpoints, type Resumed } from './resume/resumed.ts';
import { createReader } from './row_reader.ts';
import { isDue, isLogDue, plannedOf, type RunLength } from './run_length.ts';
import { saveDue, saveUnfinished } from './save_policy.ts';
import { stepTimes, withoutIdle } from './step_times.ts';
import type { Updater } from './update.ts';

/** A run before its first step. */
export interface Run {
  readonly command: 'rlhf' | 'sft';
  readonly args: RlhfArguments | SftArguments;
  readonly context: RunContext;
  readonly journal: Journal;
  readonly data: TrainingData;
  readonly policy: Policy;
  readonly length: RunLength;
  /** Quantities that rewards measure besides their values, for displays. */
  readonly signals?: StartEvent['signals'];
  /** What the run is made of, for its checkpoints. */
  readonly inputs: InputDigests;
  /** What the run continues from; null for a new run. */
  readonly from: Resumed | null;
}

/** A run that trains. `Encoded` is the form in which a step takes rows. */
export interface Training<Encoded> extends Run {
  readonly updater: Updater;
  /** A reference that checkpoints have to save; null or absent without one. */
  readonly moving?: MovingReference | null;
  /** The metric of evaluations by which checkpoints are compared. */
  readonly best: { readonly metric: string; readonly greaterIsBetter: boolean };
  /** The reason for which rows are passed over, for the sentence that counts them. */
  readonly tooLong: string;
  encode(row: Row): Promise<Encoded>;
  /**
   * One optimizer step. It changes weights only at its end, so that a step that is stopped leaves no trace.
   *
   * @param done steps done before it
   * @param next takes the next rows
   */
  step(done: number, next: (count: number) => Promise<Encoded[]>): Promise<StepResult>;
  /** @param done steps done */
  evaluate(rows: RowSource, done: number, tell: TellProgress): Promise<Metrics>;
  /** Called after each log record. */
  logged?(step: number): Promise<void>;
  /** What the steps so far leave for later ones, as a function that gives it as plain data; called after each step. */
  snapshot?(): () => unknown;
  /** Continues from such data. */
  restore?(state: unknown): Promise<void>;
}

/** The result of a step, besides new weights. */
export interface StepResult {
  /** Records of numbers; a log has their means over the steps since the last one. */
  readonly records: readonly Metrics[];
  /** Numbers of which a log has the latest value. */
  readonly latest?: Metrics;
  readonly warnings: readonly string[];
}

/** Emits the `start` event. */
export async function tellStart({
  from,
  command,
  args,
  context,
  journal,
  data,
  policy,
  length,
  signals,
}: Run): Promise<void> {
  await journal.emit({
    type: 'start',
    command,
    changed: context.changed,
    model: policy.summary,
    data: data.summary,
    outputDir: context.outputDir,
    step: from?.trainer.step ?? 0,
    maxSteps: length.maxSteps,
    resumedFrom: context.resume?.dir,
    signals,
    planned: plannedOf(args, length, data.evaluation !== null),
    dryRun: 'dryRun' in args && args.dryRun,
  });
}

/**
 * Runs from the first step to the `end` event. A run that is stopped drops the step under way, and saves the steps before it.
 *
 * Errors: those of a step, an evaluation or a save; thrown after the steps done so far have been saved (save_policy.ts).
 */
export async function trainingLoop<Encoded>(training: Training<Encoded>): Promise<void> {
  const { args, context, journal, data, policy, updater, length, best, command, from } = training;
  const { signal, outputDir } = context;
  const { maxSteps, epochOf } = length;
  const order = { length: data.train.length, seed: args.dataSeed, shuffle: args.datasetShuffle };
  const sampler = from !== null ? restoreSampler(from.loop.sampler, data.train.length) : createSampler(order);
  const reader = createReader(data.train, sampler, args.truncationStrategy, training.encode);
  const next = (count: number): Promise<Encoded[]> => journal.time('data', () => reader.next(count));
  const onDevice = (): number | null => policy.model.device.memory()?.peak ?? null;
  const averages = createAverages(from?.loop.averages);
  let step = from?.trainer.step ?? 0;
  if (from !== null) {
    journal.restore(from.loop.journal, from.trainer.history);
    if (from.loop.steps !== null) await training.restore?.(from.loop.steps);
  }
  // A run that was stopped in an evaluation has saved its last step before it.
  const isEvaluationDue = step > 0 && isDue(args.evalStrategy, args.evalSteps, step, length);
  const isUnfinished = isEvaluationDue && journal.evaluationAt(step) === null;
  const checkpoints = createCheckpoints({
    outputDir,
    source: policy.source,
    adapter: policy.adapter && { plan: policy.adapter, config: policy.modelConfig, lorapLrRatio: args.lorapLrRatio },
    parameters: policy.parameters,
    updater,
    moving: training.moving ?? null,
    prompts: args,
    totalLimit: args.saveTotalLimit,
    onlyModel: args.saveOnlyModel,
    greaterIsBetter: best.greaterIsBetter,
    earlier: from && earlierCheckpoints(outputDir, from.trainer, isUnfinished),
    emit: journal.emit,
  });
  // The state before the next step: a step that is dropped has used no rows up.
  const between = () => ({ sampler: { ...sampler.state() }, steps: training.snapshot?.() ?? (() => null) });
  let settled = between();

  const evaluate = async (): Promise<void> => {
    const rows = data.evaluation;
    if (rows === null) return;
    const metrics = await journal.time('eval', (tell) => training.evaluate(rows, step, tell));
    await journal.emit({ type: 'eval', step, maxSteps, epoch: epochOf(step), metrics });
  };
  const save = (): Promise<string> =>
    journal.time('save', () =>
      checkpoints.save({
        step,
        maxSteps,
        epoch: epochOf(step),
        metric: journal.evaluationAt(step)?.[best.metric] ?? null,
        logHistory: journal.history(),
        loop: {
          command,
          inputs: training.inputs,
          sampler: settled.sampler,
          averages: averages.state(),
          journal: journal.state(),
          steps: settled.steps(),
        },
      }),
    );

  try {
    if (args.evalOnStart && step === 0) await evaluate();
    if (isUnfinished) {
      await evaluate();
      if (isDue(args.saveStrategy, args.saveSteps, step, length)) await saveDue({ step, maxSteps, journal, save });
    }
    while (step < maxSteps) {
      signal.throwIfAborted();
      const before = journal.state().seconds;
      const { records, latest, warnings } = await training.step(step, next);
      step++;
      settled = between();
      for (const text of warnings) await journal.notice('warn', text);
      for (const record of [...records, stepTimes(before, journal.state().seconds)]) averages.add(record);
      const at = { step, maxSteps, epoch: epochOf(step) };
      await journal.emit({ type: 'progress', ...at });
      if (isLogDue(args, step, length)) {
        const metrics = { ...withoutIdle(averages.take()), ...latest };
        await journal.emit({ type: 'log', ...at, metrics, deviceMemory: onDevice() });
        await training.logged?.(step);
        settled = between();
      }
      if (isDue(args.evalStrategy, args.evalSteps, step, length)) await evaluate();
      if (isDue(args.saveStrategy, args.saveSteps, step, length)) await saveDue({ step, maxSteps, journal, save });
    }
  } catch (error) {
    await saveUnfinished(error, { step, saveStrategy: args.saveStrategy, signal, journal, save });
  }
  if (reader.skipped > 0) {
    await journal.notice('info', `${reader.skipped} times a row was skipped because ${training.tooLong}`);
  }
  await journal.emit({
    type: 'end',
    status: step === maxSteps ? 'completed' : 'interrupted',
    step,
    maxSteps,
    outputDir,
    deviceMemory: onDevice(),
    ...journal.summary(),
    ...checkpoints.summary(),
  });
}
