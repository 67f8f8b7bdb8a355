/**
 * Scores groups of completions and carries derivatives of their log-probabilities back to the weights.
 * A tape comes either from a forward over the groups, or from the rows that sampling them has computed.
 */
import { EMBEDDING } from '../models/names.ts';
import type { Tensor } from '../runtime/tensor.ts';
import type { Dropout } from './dropout.ts';
import { addDeepstackBackward, embedBackward, type VisualInputs } from './embeddings.ts';
import {
  type CompletionIds,
  type Group,
  lengthsOf,
  mapCompletions,
  massesBetween,
  type Prompt,
  placed,
  type TokenScores,
} from './groups.ts';
import { cotangentsOf, type EncodedImages } from './image_features.ts';
import { decoderInputs, type ModelParts } from './model_parts.ts';
import { type PackedBatch, packGroups } from './packed.ts';
import type { Prefilled } from './prefill.ts';
import type { Recording } from './recording.ts';
import { type Predictions, predictionsOf, type RecordedLogps, type TokenCotangents } from './scoring.ts';
import type { AttentionImplementation, Probe } from './text_attention.ts';
import { type DecoderTape, textAngles, uploadAngles } from './text_decoder.ts';

/** Spans of prompt columns whose attention mass is measured, and the layers to measure it in. */
export type LayerProbe = Probe & { readonly layers: readonly number[] };

export interface ScoreOptions {
  readonly temperature: number;
  /** Keep what `backward` needs. */
  readonly keep: boolean;
  /** Measure the attention masses of completion rows. */
  readonly probe?: LayerProbe | undefined;
  /** Of the inputs of adapters; default none. */
  readonly dropout?: Dropout | null | undefined;
}

/** Groups whose completions have scores besides what they came with. */
export interface Scored<P extends Prompt, C extends CompletionIds> {
  readonly groups: readonly Group<P, C & TokenScores>[];
  /** Null where nothing was kept for backward. */
  readonly tape: ModelTape | null;
}

/**
 * What backward starts from. Its tensors are buffers of the model: a tape is spent by the first `backward`, and lost when
 * the model keeps another one.
 */
export interface ModelTape {
  readonly batch: PackedBatch;
  readonly predictions: Predictions;
  readonly temperature: number;
  readonly dropout: Dropout | null;
  /** Output of the last block in the rows that predict something: [output rows, hidden]. */
  readonly hidden: Tensor;
  /** Null where backward computes log-probabilities of all tokens again. */
  readonly logps: RecordedLogps | null;
  readonly decoder: DecoderTape;
  readonly visual: VisualInputs;
  readonly images: EncodedImages;
}

/** One forward over groups: each prompt once, its completions behind it. */
export async function scoreGroups<P extends Prompt, C extends CompletionIds>(
  parts: ModelParts,
  groups: readonly Group<P, C>[],
  { temperature, keep, probe, dropout = null }: ScoreOptions,
  {
    implementation,
    keepsProducts,
  }: { readonly implementation: AttentionImplementation; readonly keepsProducts: (rows: number) => boolean },
): Promise<Scored<P, C>> {
  const { decoder, scoring, modelConfig } = parts;
  const prompts = groups.map(({ prompt }) => placed(prompt, modelConfig));
  const packed = groups.map(({ completions }, g) => ({ prompt: prompts[g]!, completions }));
  const batch = packGroups(packed, { lastTokens: probe !== undefined });
  const { x, visual, images, afterLayer } = await decoderInputs(parts, prompts, batch, { keep, dropout });
  const predictions = predictionsOf(batch, groups);
  const { hidden, masses, tape } = await decoder.forward(batch, x, {
    implementation,
    keep,
    products: keep && keepsProducts(batch.rows),
    outputRows: predictions.outputRows,
    probe,
    dropout,
    afterLayer,
  });
  const { logps, entropies } = await scoring.forward(hidden, predictions, { temperature, dropout });
  return {
    groups: mapCompletions(groups, (completion, start, end) => ({
      ...completion,
      logps: logps.subarray(start, end),
      entropies: entropies.subarray(start, end),
      masses: massesBetween(masses, start, end),
    })),
    tape: tape && { batch, predictions, temperature, dropout, hidden, logps: null, decoder: tape, visual, images },
  };
}

/**
 * What `scoreGroups` would return for sampled completions, from the rows that sampling has computed already. There is no
 * tape where the recording keeps masses alone.
 *
 * @param groups the sampled completions, with the scores that the sampler gave them
 */
export async function scoreRecorded<P extends Prompt, C extends CompletionIds & TokenScores>(
  { modelConfig, memory: { workspace, moves } }: ModelParts,
  recording: Recording,
  { prompts, visual, images }: Prefilled,
  groups: readonly Group<P, C>[],
  { temperature, implementation }: { readonly temperature: number; readonly implementation: AttentionImplementation },
): Promise<Scored<P, C>> {
  const { masses, rows: recorded } = await recording.finish(lengthsOf(groups));
  const measured = mapCompletions(groups, (completion, start, end) => ({
    ...completion,
    masses: massesBetween(masses, start, end),
  }));
  if (recorded === null) return { groups: measured, tape: null };
  const { layers, hidden, order, logps } = recorded;
  const packed = groups.map(({ completions }, g) => ({ prompt: prompts[g]!, completions }));
  const batch = packGroups(packed, { lastTokens: false });
  const predictions = predictionsOf(batch, groups);
  const { outputRows } = predictions;
  const angles = await uploadAngles(workspace, textAngles(modelConfig.text, batch), { taped: true });
  const recordedRows = outputRows.map((row) => order[row]!);
  const output = workspace.get('output', outputRows.length, modelConfig.text.hiddenSize);
  return {
    groups: measured,
    tape: {
      batch,
      predictions,
      temperature,
      dropout: null,
      hidden: await moves.gather(hidden, recordedRows, output),
      logps,
      decoder: { batch, implementation, angles, layers, order, outputRows } satisfies DecoderTape,
      visual,
      images,
    },
  };
}

/**
 * Adds the gradients of Σ dLogps · logps + Σ dEntropies · entropies to the accumulators of the trained parameters.
 *
 * @param given of all completion tokens, completion after completion: [predictions]
 */
export async function backwardFrom(parts: ModelParts, tape: ModelTape, given: TokenCotangents): Promise<void> {
  const { parameters, decoder, vision, scoring, deepstackLayers, modelConfig, memory } = parts;
  const { batch, predictions, temperature, dropout, hidden, logps, visual, images } = tape;
  const { imageTokenId } = modelConfig;
  const dHidden = await scoring.backward(hidden, predictions, { temperature, dropout }, given, logps);
  const cotangents = cotangentsOf(images);
  const dTokens = new Map(cotangents.flatMap(({ parts }) => parts));
  const dEmbeddings = await decoder.backward(tape.decoder, dHidden, {
    toEmbeddings: dTokens.size > 0 || parameters.isTrained(EMBEDDING),
    onCotangent: async (layer, dy) => {
      if (layer < deepstackLayers) await addDeepstackBackward(memory, batch, dy, visual, imageTokenId, layer, dTokens);
    },
  });
  if (dEmbeddings === null) return;
  const dTable = parameters.isTrained(EMBEDDING) ? parameters.gradient(EMBEDDING) : null;
  await embedBackward(memory, batch, dEmbeddings, visual, imageTokenId, dTable, dTokens);
  for (const { tape: visionTape, whole } of cotangents) await vision.backward(visionTape, whole);
}
