/**
 * Scores the completions of a dataset and writes the results as JSONL. Knows no rewards and trains nothing.
 */
import type { ScoreArguments } from '../arguments/resolve.ts';
import { isTdr } from '../attention/tdr.ts';
import type { Json } from '../util/json.ts';
import { openTrainingData, rowsAt } from './data.ts';
import { openDevice } from './device.ts';
import { noteTo, type RunContext } from './events.ts';
import { writeOutputFile } from './output_file.ts';
import { type Policy, policyOptions, preparePolicy } from './policy.ts';
import { loaderOf } from './preflight.ts';
import { checkScoreMemory } from './run_memory.ts';
import { lacksCompletion, type ScoreSample, sampleOf } from './score_samples.ts';
import { createScorer, type SampleScore } from './scorer.ts';
import { createToolsCheck } from './tools_check.ts';

/**
 * Writes one line per row of the dataset: `index`, `prompt_ids`, `completion_ids`, `logps`, `entropies`, `tdr`, `rho_vis`,
 * `rho_text`, `n_vis`, `n_text`. If TDR has no value, `tdr` is null and `tdr_reason` says why.
 *
 * Errors: those of dataset and checkpoint; E_ROW_NO_COMPLETION, E_COMPLETION_IDS, E_SCORE_NOT_FINITE, E_OUTPUT. An abort
 * throws the signal's reason. After any error no partial file is left.
 */
export async function runScore(args: ScoreArguments, context: Pick<RunContext, 'signal' | 'emit'>): Promise<void> {
  const only = {
    dataset: args.dataset,
    columns: args.columns,
    valDataset: [],
    splitDatasetRatio: 0,
    dataSeed: 0,
    strict: true,
  };
  const device = await openDevice(args, context);
  await context.emit({ type: 'phase', phase: 'open model', begins: true });
  const options = { ...policyOptions(args, false, noteTo(context)), device };
  // A forward needs a layer once. Large weights are held only if that is asked for.
  const held = args.quantBits !== null || args.weightsMemory !== null;
  const prepared = await preparePolicy(held ? options : { ...options, frozen: null });
  const lacksTemplate = createToolsCheck(args.modelDir);
  let opened: Pick<Policy, 'close'> = prepared;
  try {
    await context.emit({ type: 'phase', phase: 'check data', begins: true });
    const data = await openTrainingData(
      only,
      (row) => lacksCompletion(row, prepared.modelConfig) ?? lacksTemplate(row),
    );
    try {
      const { length } = data.train;
      const first = await sampleOf(await data.train.row(0), prepared.template, prepared.modelConfig);
      const tokens = args.perDeviceEvalBatchSize * (first.prompt.ids.length + first.completion.length);
      await checkScoreMemory(args, { policy: prepared, tokens }, context);
      const output = { flag: '--output', signal: context.signal };
      await writeOutputFile(args.output, output, async (write) => {
        const policy = await loaderOf(context)(prepared, 'model');
        opened = policy;
        const start = { command: 'score', model: policy.summary, data: data.summary, outputDir: args.output };
        await context.emit({ type: 'start', ...start, changed: {}, step: 0, maxSteps: length });
        for (const text of data.summary.leftOut ?? []) await context.emit({ type: 'notice', level: 'warn', text });
        await context.emit({ type: 'phase', phase: 'forward', begins: true });
        const scorer = createScorer(policy.model, args.attnProbe, args.temperature);
        for (let from = 0; from < length; from += args.perDeviceEvalBatchSize) {
          context.signal.throwIfAborted();
          const count = Math.min(args.perDeviceEvalBatchSize, length - from);
          const indices = Array.from({ length: count }, (_, i) => from + i);
          const rows = await rowsAt(data.train, indices);
          const samples = await Promise.all(rows.map((row) => sampleOf(row, policy.template, policy.modelConfig)));
          const { scores, verdict } = await scorer(samples);
          await write(scores.map((score, i) => `${JSON.stringify(record(samples[i]!, score))}\n`).join(''));
          if (verdict !== null) await context.emit({ type: 'notice', ...verdict });
          await context.emit({ type: 'progress', step: from + count, maxSteps: length, epoch: 0 });
        }
      });
      await context.emit({ type: 'notice', level: 'info', text: `wrote ${length} rows to ${args.output}` });
    } finally {
      data.close();
    }
  } finally {
    await opened.close();
  }
}

// --- internal ---

function record({ index, prompt, completion }: ScoreSample, { logps, entropies, spans, tdr }: SampleScore): Json {
  const defined = isTdr(tdr) ? tdr : null;
  return {
    index,
    prompt_ids: [...prompt.ids],
    completion_ids: [...completion],
    logps: [...logps],
    entropies: [...entropies],
    tdr: defined?.tdr ?? null,
    rho_vis: defined?.rhoVis ?? null,
    rho_text: defined?.rhoText ?? null,
    n_vis: spans.visual.length,
    n_text: spans.text.length,
    ...(isTdr(tdr) ? {} : { tdr_reason: tdr.undefined }),
  };
}
