/**
 * Scores given completions: log-probabilities, entropies and the text-dominance ratio of each, as JSONL.
 * The output file appears whole or not at all; knows no rewards and trains nothing.
 */
import type { ScoreArguments } from '../arguments/resolve.ts';
import { type CrossCheck, createProbeChoice, PROBE_TOLERANCE } from '../attention/cross_check.ts';
import { withEagerAttention } from '../attention/implementation.ts';
import { massProbe, tdrOfScored } from '../attention/probe.ts';
import { isTdr, type TdrResult, type TdrSpans, tdrFromAttentions, tdrSpans } from '../attention/tdr.ts';
import { splitAnswer } from '../data/messages.ts';
import type { Row } from '../data/row.ts';
import type { Prompt, TokenScores } from '../engine/groups.ts';
import type { VisionLanguageModel } from '../engine/model.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import type { EncodedPrompt, Template } from '../template/template.ts';
import type { Json } from '../util/json.ts';
import { openTrainingData, type RowFault } from './data.ts';
import { noteTo, type RunContext } from './events.ts';
import { writeOutputFile } from './output_file.ts';
import { type Policy, policyOptions, preparePolicy } from './policy.ts';
import { loaderOf } from './preflight.ts';
import { checkScoreMemory } from './run_memory.ts';
import { createToolsCheck } from './tools_check.ts';

/**
 * Writes one line per row of the dataset: `index`, `prompt_ids`, `completion_ids`, `logps`, `entropies`, `tdr`, `rho_vis`,
 * `rho_text`, `n_vis`, `n_text`; where TDR has no value it is null and `tdr_reason` says why.
 *
 * Errors: those of dataset and checkpoint; E_ROW_NO_COMPLETION, E_COMPLETION_IDS, E_SCORE_NOT_FINITE, E_OUTPUT. An abort
 * throws the signal's reason. In every case no file is left.
 */
export async function runScore(args: ScoreArguments, context: Pick<RunContext, 'signal' | 'emit'>): Promise<void> {
  const only = { dataset: args.dataset, valDataset: [], splitDatasetRatio: 0, dataSeed: 0, strict: true };
  await context.emit({ type: 'phase', phase: 'open model', begins: true });
  const prepared = await preparePolicy(policyOptions(args, false, noteTo(context)));
  const lacksTemplate = createToolsCheck(args.modelDir);
  let opened: Pick<Policy, 'close'> = prepared;
  try {
    await context.emit({ type: 'phase', phase: 'check data', begins: true });
    const data = await openTrainingData(only, (row) => faultOf(row, prepared.modelConfig) ?? lacksTemplate(row));
    try {
      const { length } = data.train;
      const first = await sampleOf(data.train.row(0), prepared.template, prepared.modelConfig);
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
          const rows = Array.from({ length: count }, (_, i) => data.train.row(from + i));
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

/** A prompt with one completion to score. */
export interface ScoreSample {
  readonly index: number;
  readonly where: string;
  readonly prompt: Prompt & Pick<EncodedPrompt, 'systemPrefix'>;
  /** Ids of the completion. */
  readonly completion: Int32Array;
}

export interface SampleScore extends Pick<TokenScores, 'logps' | 'entropies'> {
  readonly spans: TdrSpans;
  readonly tdr: TdrResult;
}

/** What `auto` found, to be told once. */
interface Verdict {
  readonly level: 'info' | 'warn';
  readonly text: string;
}

export type Scorer = (
  samples: readonly ScoreSample[],
) => Promise<{ readonly scores: readonly SampleScore[]; readonly verdict: Verdict | null }>;

/**
 * Scores batches of samples. With `auto`, the first sample that has a TDR is measured both ways: if they agree, the
 * fused probe goes on alone, else the eager forward does.
 */
export function createScorer(
  model: VisionLanguageModel,
  attnProbe: ScoreArguments['attnProbe'],
  temperature: number,
): Scorer {
  const visualIds = [model.modelConfig.imageTokenId, model.modelConfig.videoTokenId];
  const choice = createProbeChoice(attnProbe);

  return async (samples) => {
    const prompts = samples.map(({ prompt }) => prompt);
    const probe =
      choice.way() === 'eager' ? undefined : massProbe(prompts, visualIds, model.modelConfig.text.numHiddenLayers);
    const groups = samples.map(({ prompt, completion }) => ({ prompt, completions: [{ ids: completion }] }));
    const { groups: scoredGroups } = await model.score(groups, { temperature, keep: false, probe });
    const scores: SampleScore[] = [];
    let verdict: Verdict | null = null;
    for (const [i, sample] of samples.entries()) {
      const scored = scoredGroups[i]!.completions[0]!;
      requireFinite(scored, sample);
      const { prompt, completion } = sample;
      const spans = tdrSpans(prompt.ids, prompt.systemPrefix, completion.length, visualIds);
      let tdr: TdrResult;
      if (choice.way() === 'eager') tdr = await eagerTdr(model, sample, spans);
      else {
        tdr = tdrOfScored(scored, spans);
        if (choice.way() === 'both' && isTdr(tdr)) {
          const eager = await eagerTdr(model, sample, spans);
          verdict = verdictOf(choice.compare([eager], [tdr]));
          if (choice.way() !== 'fused') tdr = eager;
        }
      }
      const { logps, entropies } = scored;
      scores.push({ logps, entropies, spans, tdr });
    }
    return { scores, verdict };
  };
}

// --- internal ---

/** TDR by the definition: one eager forward over prompt and completion, its weights, the formula. */
async function eagerTdr(
  model: VisionLanguageModel,
  { prompt, completion }: ScoreSample,
  spans: TdrSpans,
): Promise<TdrResult> {
  const { attentions } = await withEagerAttention(model, () =>
    model.forward({
      input_ids: [Int32Array.of(...prompt.ids, ...completion)],
      pixel_values: prompt.images.map(({ pixelValues }) => pixelValues),
      image_grid_thw: prompt.images.map(({ gridThw }) => gridThw),
      output_attentions: true,
      logits_to_keep: 1,
    }),
  );
  if (attentions === null) throw new Error('internal: an eager forward returned no attentions');
  return tdrFromAttentions(attentions, spans);
}

function verdictOf(check: CrossCheck | null): Verdict | null {
  if (check === null) return null;
  const found = `attn_probe auto: ${check.text}`;
  return check.agrees
    ? { level: 'info', text: `${found}; going on with fused` }
    : { level: 'warn', text: `${found}, more than ${PROBE_TOLERANCE}; staying with eager` };
}

/** A row's completion is its `completion_ids`, else its last assistant message. */
function faultOf({ messages, columns, where }: Row, modelConfig: ModelConfig): RowFault | null {
  if (columns.completion_ids !== undefined && columns.completion_ids !== null) {
    try {
      completionIds(columns.completion_ids, where, modelConfig);
      return null;
    } catch (error) {
      if (error instanceof SightlineError) return { reason: 'wrong completion_ids', error };
      throw error;
    }
  }
  if (splitAnswer(messages).answer !== null) return null;
  const error = new SightlineError('E_ROW_NO_COMPLETION', 'the row has no completion to score', {
    where,
    hint: 'give "completion_ids", or end "messages" with an assistant message',
  });
  return { reason: 'no completion', error };
}

async function sampleOf(row: Row, template: Template, modelConfig: ModelConfig): Promise<ScoreSample> {
  const { index, where, columns } = row;
  const { prompt: asked, answer } = splitAnswer(row.messages);
  const prompt = await template.encode(asked, row.images, { where, tools: row.tools });
  const given = columns.completion_ids ?? null;
  const completion =
    given !== null || answer === null
      ? completionIds(given, where, modelConfig)
      : template.encodeAnswer(answer, prompt.images, where);
  const limit = modelConfig.text.maxPositionEmbeddings;
  const tokens = prompt.ids.length + completion.length;
  if (tokens > limit) {
    throw new SightlineError(
      'E_PROMPT_TOO_LONG',
      `prompt and completion have ${tokens} tokens, but the model takes at most ${limit}`,
      { where, hint: 'lower --max_pixels, or leave the row out' },
    );
  }
  return { index, where, prompt, completion };
}

function completionIds(value: unknown, where: string, modelConfig: ModelConfig): Int32Array {
  const bad = (found: string): SightlineError =>
    new SightlineError('E_COMPLETION_IDS', `"completion_ids" ${found}`, {
      where,
      hint: `give a list of token ids below ${modelConfig.text.vocabSize}, without image and video pads`,
    });
  if (!Array.isArray(value)) throw bad(`is ${typeof value}, expected a list of token ids`);
  return Int32Array.from(value, (id: unknown, i) => {
    const isId = typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < modelConfig.text.vocabSize;
    if (!isId) throw bad(`holds ${JSON.stringify(id)} at place ${i}`);
    if (id === modelConfig.imageTokenId || id === modelConfig.videoTokenId)
      throw bad(`holds the pad ${id} at place ${i}`);
    return id;
  });
}

function requireFinite({ logps, entropies }: TokenScores, { where }: ScoreSample): void {
  const at = logps.findIndex((logp, t) => !Number.isFinite(logp) || !Number.isFinite(entropies[t]!));
  if (at < 0) return;
  throw new SightlineError(
    'E_SCORE_NOT_FINITE',
    `token ${at} has log-probability ${logps[at]}, entropy ${entropies[at]}`,
    {
      where,
      hint: 'the checkpoint holds weights that overflow; score an earlier one',
      exitCode: 1,
    },
  );
}

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
