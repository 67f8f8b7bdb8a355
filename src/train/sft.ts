/**
 * Supervised training: cross-entropy on each row's answer, with the same model and optimizer step as GRPO.
 * Defines a step and an evaluation; loop.ts does the rest.
 *
 * The loss of an optimizer step is the mean over all its answer tokens, as with transformers' `num_items_in_batch`. It does
 * not depend on how the step is split into micro-batches by --per_device_train_batch_size.
 */
import type { SftArguments } from '../arguments/resolve.ts';
import type { Row } from '../data/row.ts';
import type { Dropout } from '../engine/dropout.ts';
import type { CompletionIds, Group, Prompt, TokenScores } from '../engine/groups.ts';
import type { VisionLanguageModel } from '../engine/model.ts';
import type { Pace } from '../grpo/epochs.ts';
import { createRandom } from '../util/random.ts';
import { closing } from '../util/resources.ts';
import { openTrainingData, type RowSource, rowsAt } from './data.ts';
import { openDevice } from './device.ts';
import { type Metrics, noteTo, type RunContext } from './events.ts';
import { createJournal, type Journal, type TellProgress } from './journal.ts';
import { type Run, type StepResult, tellStart, trainingLoop } from './loop.ts';
import { dropoutOf, policyOptions, preparePolicy } from './policy.ts';
import { loaderOf, tryFirstRows } from './preflight.ts';
import { inputDigests } from './resume/inputs.ts';
import { readResumed, restoreResumed } from './resume/resumed.ts';
import { encodeOrPass } from './row_reader.ts';
import { runLength } from './run_length.ts';
import { checkSftMemory } from './run_memory.ts';
import { type Example, encodeExample, lacksAnswer } from './sft_examples.ts';
import { createToolsCheck } from './tools_check.ts';
import { createUpdater, type UpdateResult } from './update.ts';
import { updateOptions } from './update_options.ts';

/**
 * Runs the training; resolves after the `end` event.
 *
 * Errors: those of its parts. Faults of arguments, data and checkpoint are thrown before the `start` event.
 */
export async function runSft(args: SftArguments, context: RunContext): Promise<void> {
  const { signal, emit } = context;
  const rowsPerStep = args.perDeviceTrainBatchSize * args.gradientAccumulationSteps;
  await closing(async (keep) => {
    await emit({ type: 'phase', phase: 'check data', begins: true });
    const lacksTemplate = createToolsCheck(args.modelDir);
    const data = keep(await openTrainingData(args, (row) => lacksAnswer(row) ?? lacksTemplate(row)));
    const length = runLength(paceOf(data.train.length, rowsPerStep), args);
    await emit({ type: 'phase', phase: 'open model', begins: true });
    const device = await openDevice(args, context);
    const prepared = keep(await preparePolicy({ ...policyOptions(args, true, noteTo(context)), device }));
    const maxLength = args.maxLength ?? prepared.modelConfig.text.maxPositionEmbeddings;
    const encode = (row: Row): Promise<Example> => encodeExample(prepared.template, row, maxLength);
    const updating = updateOptions(args, length.maxSteps);
    const first = await tryFirstRows(data, args, encode);
    const inputs = inputDigests(data.opened, prepared);
    const from = readResumed(context, 'sft', inputs);
    await checkSftMemory(args, { policy: prepared, first }, context);
    const policy = keep(await loaderOf(context)(prepared, 'model'));
    const updater = keep(await createUpdater(policy.parameters, updating));
    await restoreResumed(context, policy, prepared.modelConfig, updater);
    const { model } = policy;
    const journal = createJournal(context);
    const random = createRandom(args.seed);

    const step = async (done: number, next: (count: number) => Promise<Example[]>): Promise<StepResult> => {
      const examples = await next(rowsPerStep);
      const loss = await crossEntropyStep(
        model,
        chunks(examples, args.perDeviceTrainBatchSize),
        journal.time,
        (microBatch) => dropoutOf(policy, random, `${done}/${microBatch}`),
      );
      const update = await journal.time('update', () => updater.update());
      return {
        records: [update.skipped ? { skipped_steps: 1 } : { loss, grad_norm: update.gradNorm }],
        latest: { learning_rate: update.learningRate },
        warnings: update.skipped ? [skippedText(done + 1, update, loss, examples)] : [],
      };
    };
    const evaluate = (rows: RowSource, _done: number, tell: TellProgress): Promise<Metrics> =>
      evaluationLoss(model, evaluationBatches(rows, args, encode), signal, (done) =>
        tell({ done, total: rows.length }),
      );

    const run: Run = { command: 'sft', args, context, journal, data, policy, length, inputs, from };
    await tellStart(run);
    for (const text of from?.notices ?? []) await journal.notice('warn', text);
    await trainingLoop({
      ...{ ...run, updater, encode, step, evaluate },
      best: { metric: 'loss', greaterIsBetter: false },
      tooLong: `it is longer than ${maxLength} tokens`,
    });
  });
}

// --- internal ---

/**
 * Computes the loss of one optimizer step, -Σ log p / tokens over all micro-batches, and adds its gradients to the parameters'
 * accumulators. Each micro-batch is one packed forward and backward.
 */
async function crossEntropyStep(
  model: Pick<VisionLanguageModel, 'score' | 'backward'>,
  microBatches: readonly (readonly Example[])[],
  time: Journal['time'],
  dropoutOf: (microBatch: number) => Dropout | null,
): Promise<number> {
  const tokens = tokensIn(microBatches.flat());
  let loss = 0;
  for (const [i, batch] of microBatches.entries()) {
    const at = microBatches.length === 1 ? {} : { done: i, total: microBatches.length };
    const groups = batch.map(({ group }) => group);
    const dropout = dropoutOf(i);
    const { groups: scored, tape } = await time(
      'forward',
      () => model.score(groups, { temperature: 1, keep: true, dropout }),
      at,
    );
    if (tape === null) throw new Error('internal: a scored batch without a tape');
    for (const logp of logpsIn(scored)) loss -= logp / tokens;
    const dLogps = new Float32Array(tokensIn(batch)).fill(-1 / tokens);
    await time('backward', () => model.backward(tape, dLogps), at);
  }
  return loss;
}

/** Log-probabilities of all completion tokens, in order. */
const logpsIn = (groups: readonly Group<Prompt, CompletionIds & TokenScores>[]): number[] =>
  groups.flatMap(({ completions }) => completions.flatMap(({ logps }) => [...logps]));

const paceOf = (rows: number, rowsPerStep: number): Pace => ({
  rows,
  rowsPerEpoch: rows,
  rowsAfter: (steps) => steps * rowsPerStep,
});

const tokensIn = (examples: readonly Example[]): number => examples.reduce((sum, { tokens }) => sum + tokens, 0);

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
    const indices = Array.from({ length: Math.min(size, rows.length - from) }, (_, i) => from + i);
    const batch = await rowsAt(rows, indices);
    const encoded = await Promise.all(batch.map((row) => encodeOrPass(row, tolerance, encode)));
    const kept = encoded.filter((example) => example !== null);
    if (kept.length > 0) yield kept;
  }
}

/** Mean loss over all answer tokens, as in training. The record has no `loss` if all rows were skipped. */
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
    const scored = await model.score(groups, { temperature: 1, keep: false });
    for (const logp of logpsIn(scored.groups)) sum -= logp;
    tokens += tokensIn(batch);
    rows += batch.length;
    tell(rows);
  }
  const runtime = (performance.now() - start) / 1000;
  return { ...(tokens > 0 ? { loss: sum / tokens } : {}), runtime, samples_per_second: rows / runtime };
}

function skippedText(step: number, { gradNorm }: UpdateResult, loss: number, examples: readonly Example[]): string {
  const [first] = examples;
  return `step ${step} is skipped: the gradient norm is ${gradNorm}, the loss ${loss}; its rows: ${first?.where} and ${examples.length - 1} more`;
}
