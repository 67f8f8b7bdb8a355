/**
 * Supervised training: cross-entropy on each row's answer, through the same model and optimizer step as GRPO.
 * Reads as the loop it is; knows nothing of who listens.
 *
 * The loss of an optimizer step is the mean over all its answer tokens, however it was cut into micro-batches
 * (transformers' `num_items_in_batch`), so the numbers do not depend on --per_device_train_batch_size.
 */
import type { SftArguments } from '../arguments/resolve.ts';
import type { Row } from '../data/row.ts';
import { createSampler } from '../data/sampler.ts';
import type { VisionLanguageModel } from '../engine/model.ts';
import { firstRow, loaderOf, tryFirst } from './before_weights.ts';
import { createCheckpoints } from './checkpoints.ts';
import { openTrainingData, type RowSource, type TrainingData } from './data.ts';
import { type Metrics, noteTo, type RunContext } from './events.ts';
import { type Example, encodeExample, lacksAnswer } from './examples.ts';
import { createAverages, createJournal, type Journal } from './journal.ts';
import { saveUnfinished } from './last_save.ts';
import { isDue, isLogDue, plannedOf, stepsOfRun } from './length.ts';
import { type Policy, policyOptions, preparePolicy } from './policy.ts';
import { createReader, encodeOrPass } from './reader.ts';
import { checkSftMemory } from './run_memory.ts';
import { saveAmid } from './save_amid.ts';
import { createToolsCheck } from './tools_check.ts';
import { createUpdater, type Updater } from './update.ts';
import { updateOptions } from './update_options.ts';

/**
 * Trains as the arguments say; resolves after the `end` event.
 *
 * Errors: those of the parts; whatever is wrong with arguments, data or checkpoint is told before the `start` event.
 */
export async function runSft(args: SftArguments, context: RunContext): Promise<void> {
  await context.emit({ type: 'phase', phase: 'check data', begins: true });
  const lacksTemplate = createToolsCheck(args.modelDir);
  const data = await openTrainingData(args, (row) => lacksAnswer(row) ?? lacksTemplate(row));
  try {
    await context.emit({ type: 'phase', phase: 'open model', begins: true });
    const prepared = await preparePolicy(policyOptions(args, true, noteTo(context)));
    let opened: Pick<Policy, 'close'> = prepared;
    try {
      const maxSteps = stepsOfRun(data.train.length, rowsPerStep(args), args);
      const updating = updateOptions(args, maxSteps);
      const encode = encodeRow(args, prepared);
      const first = await tryFirst(data.train, firstRow(data.train.length, args), args.truncationStrategy, encode);
      if (data.evaluation !== null) await tryFirst(data.evaluation, 0, args.truncationStrategy, encode);
      await checkSftMemory(args, { policy: prepared, first }, context);
      const policy = await loaderOf(context)(prepared, 'model');
      opened = policy;
      const updater = await createUpdater(policy.parameters, updating);
      await train(args, context, { data, policy, updater, maxSteps }).finally(() => updater.release());
    } finally {
      await opened.close();
    }
  } finally {
    data.close();
  }
}

// --- internal ---

/**
 * Loss and gradients of one optimizer step: -Σ log p / tokens over all micro-batches. Gradients are added to the
 * parameters' accumulators. Each micro-batch is one packed forward and backward.
 */
async function crossEntropyStep(
  model: Pick<VisionLanguageModel, 'score' | 'backward'>,
  microBatches: readonly (readonly Example[])[],
  time: Journal['time'],
): Promise<number> {
  const tokens = countTokens(microBatches.flat());
  let loss = 0;
  for (const [i, batch] of microBatches.entries()) {
    const at = microBatches.length === 1 ? {} : { done: i, total: microBatches.length };
    const groups = batch.map(({ group }) => group);
    const { completions, tape } = await time('forward', () => model.score(groups, { temperature: 1, keep: true }), at);
    if (tape === null) throw new Error('internal: a scored batch without a tape');
    for (const { logps } of completions.flat()) for (const logp of logps) loss -= logp / tokens;
    const dLogps = new Float32Array(countTokens(batch)).fill(-1 / tokens);
    await time('backward', () => model.backward(tape, dLogps), at);
  }
  return loss;
}

interface Parts {
  readonly data: TrainingData;
  readonly policy: Policy;
  readonly updater: Updater;
  readonly maxSteps: number;
}

async function train(
  args: SftArguments,
  context: RunContext,
  { data, policy, updater, maxSteps }: Parts,
): Promise<void> {
  const { model, parameters, source } = policy;
  const journal = createJournal(context);
  const averages = createAverages();
  const checkpoints = createCheckpoints({
    outputDir: context.outputDir,
    source,
    parameters,
    updater,
    prompts: args,
    totalLimit: args.saveTotalLimit,
    onlyModel: args.saveOnlyModel,
    greaterIsBetter: false,
    emit: journal.emit,
  });
  const maxLength = maxLengthOf(args, policy);
  const encode = encodeRow(args, policy);
  const sampler = createSampler({ length: data.train.length, seed: args.dataSeed, shuffle: args.datasetShuffle });
  const reader = createReader(data.train, sampler, args.truncationStrategy, encode);

  let [step, epoch] = [0, 0];
  // What the next step starts from: the rows of a step that is dropped are not used up.
  let resume = { sampler: { ...sampler.state() } };
  const evaluate = async (): Promise<void> => {
    if (data.evaluation === null) return;
    const rows = evaluationBatches(data.evaluation, args, encode);
    const total = data.evaluation.length;
    const metrics = await journal.time('eval', (tell) =>
      evaluationLoss(model, rows, context.signal, (done) => tell({ done, total })),
    );
    await journal.emit({ type: 'eval', step, maxSteps, epoch, metrics });
  };
  const save = (): Promise<string> =>
    journal.time('save', () =>
      checkpoints.save({
        step,
        maxSteps,
        epoch,
        metric: journal.evaluationAt(step)?.loss ?? null,
        logHistory: journal.history(),
        loop: resume,
      }),
    );

  await journal.emit({
    type: 'start',
    command: 'sft',
    changed: context.changed,
    model: policy.summary,
    data: data.summary,
    outputDir: context.outputDir,
    step,
    maxSteps,
    planned: plannedOf(
      { ...args, evaluates: data.evaluation !== null },
      maxSteps,
      (steps) => (steps * rowsPerStep(args)) / data.train.length,
    ),
  });
  try {
    if (args.evalOnStart) await evaluate();
    while (step < maxSteps) {
      context.signal.throwIfAborted();
      const examples = await journal.time('data', () => reader.next(rowsPerStep(args)));
      const microBatches = chunks(examples, args.perDeviceTrainBatchSize);
      const loss = await crossEntropyStep(model, microBatches, journal.time);
      const { gradNorm, learningRate, skipped } = await journal.time('update', () => updater.update());
      const epochBefore = epoch;
      step++;
      epoch = sampler.epoch();
      resume = { sampler: { ...sampler.state() } };
      if (skipped) await journal.notice('warn', skippedText(step, gradNorm, loss, examples));
      averages.add(skipped ? { skipped_steps: 1 } : { loss, grad_norm: gradNorm });
      await journal.emit({ type: 'progress', step, maxSteps, epoch });
      const done = { step, maxSteps, epochBefore, epoch };
      if (isLogDue(args, done)) {
        const metrics = { ...averages.take(), learning_rate: learningRate };
        await journal.emit({ type: 'log', step, maxSteps, epoch, metrics });
      }
      if (isDue(args.evalStrategy, args.evalSteps, done)) await evaluate();
      if (isDue(args.saveStrategy, args.saveSteps, done)) await saveAmid({ step, maxSteps, journal, save });
    }
  } catch (error) {
    const { saveStrategy } = args;
    await saveUnfinished(error, { step, saveStrategy, signal: context.signal, journal, save });
  }
  if (reader.passedOver > 0) {
    await journal.notice(
      'info',
      `${reader.passedOver} times a row was skipped because it is longer than ${maxLength} tokens`,
    );
  }
  const { outputDir } = context;
  await journal.emit({
    type: 'end',
    status: step < maxSteps ? 'interrupted' : 'completed',
    step,
    maxSteps,
    outputDir,
    ...journal.summary(),
    ...checkpoints.summary(),
  });
}

const maxLengthOf = (args: SftArguments, { config }: Pick<Policy, 'config'>): number =>
  args.maxLength ?? config.text.maxPositionEmbeddings;

const encodeRow =
  (args: SftArguments, policy: Pick<Policy, 'config' | 'template'>) =>
  (row: Row): Promise<Example> =>
    encodeExample(policy.template, row, maxLengthOf(args, policy));

const rowsPerStep = (args: SftArguments): number => args.perDeviceTrainBatchSize * args.gradientAccumulationSteps;

const countTokens = (examples: readonly Example[]): number => examples.reduce((sum, { tokens }) => sum + tokens, 0);

function chunks<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let i = 0; i < items.length; i += size) parts.push(items.slice(i, i + size));
  return parts;
}

async function* evaluationBatches(
  rows: RowSource,
  { perDeviceEvalBatchSize: size, truncationStrategy }: SftArguments,
  encode: (row: Row) => Promise<Example>,
): AsyncGenerator<Example[]> {
  const tolerance = { longRows: truncationStrategy, leaveOut: rows.leaveOut };
  for (let from = 0; from < rows.length; from += size) {
    const batch = Array.from({ length: Math.min(size, rows.length - from) }, (_, i) => rows.row(from + i));
    const encoded = await Promise.all(batch.map((row) => encodeOrPass(row, tolerance, encode)));
    const kept = encoded.filter((example) => example !== null);
    if (kept.length > 0) yield kept;
  }
}

/** Mean over all answer tokens, as in training; a record without `loss` if no row was short enough. */
async function evaluationLoss(
  model: Pick<VisionLanguageModel, 'score'>,
  batches: AsyncIterable<readonly Example[]>,
  signal: AbortSignal,
  tell: (rows: number) => void,
): Promise<Metrics> {
  const start = performance.now();
  let [sum, tokens, rows] = [0, 0, 0];
  for await (const batch of batches) {
    signal.throwIfAborted();
    const groups = batch.map(({ group }) => group);
    const { completions } = await model.score(groups, { temperature: 1, keep: false });
    for (const { logps } of completions.flat()) for (const logp of logps) sum -= logp;
    tokens += countTokens(batch);
    rows += batch.length;
    tell(rows);
  }
  const runtime = (performance.now() - start) / 1000;
  return { ...(tokens > 0 ? { loss: sum / tokens } : {}), runtime, samples_per_second: rows / runtime };
}

function skippedText(step: number, gradNorm: number, loss: number, examples: readonly Example[]): string {
  const [first] = examples;
  return `step ${step} is skipped: the gradient norm is ${gradNorm}, the loss ${loss}; its rows: ${first?.where} and ${examples.length - 1} more`;
}
