/**
 * A vision-language model as one object: scores groups of completions with everything backward needs, and runs the plain forward
 * that rewards call. The attention implementation is read from `config` at every call.
 */

import type { ModelConfig } from '../models/architecture.ts';
import { EMBEDDING, partOf } from '../models/names.ts';
import type { PolicyModel } from '../models/types.ts';
import type { RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, gatherRows, rows, zeros } from '../runtime/tensor.ts';
import { createWorkspace } from '../runtime/workspace.ts';
import { createExclusive } from '../util/mutex.ts';
import { configAttributes, implementationOf } from './config_attributes.ts';
import type { Dropout } from './dropout.ts';
import { addDeepstack, addDeepstackBackward, embed, embedBackward, type VisualInputs } from './embeddings.ts';
import {
  completionsOf,
  type Group,
  lengthsOf,
  type Prompt,
  perCompletion,
  type SampledGroup,
  type ScoredCompletion,
  sampledCompletions,
  withPositions,
} from './groups.ts';
import { headName, logitsHead, ROWS } from './heads.ts';
import { cotangentsOf, createImageFeatures, type EncodedImages, type ImageFeatures } from './image_features.ts';
import { createLayerModules } from './layer_modules.ts';
import { type GroupToPack, type PackedBatch, packGroups } from './packed.ts';
import { bytesOf, type Parameters } from './parameters.ts';
import { type ForwardParts, plainForward } from './plain_forward.ts';
import { createRecording, type Recording, type RecordingShape, recordedRows } from './recording.ts';
import { createProductMemory } from './residual_budget.ts';
import { createScoringHead, type Predictions, predictionsOf } from './scoring.ts';
import type { AttentionImplementation, Probe } from './text_attention.ts';
import { createTextDecoder, type DecoderTape, type TextDecoder, textAngles } from './text_decoder.ts';
import { createVisionTower, type VisionTower } from './vision_tower.ts';

export interface ScoreOptions {
  readonly temperature: number;
  /** Keep what `backward` needs. */
  readonly keep: boolean;
  /** Attention masses of completion rows on spans of prompt columns, in these layers. */
  readonly probe?: LayerProbe;
  /** Of the inputs of adapters; null: none. */
  readonly dropout?: Dropout | null | undefined;
}

export interface Scored {
  /** Per group, per completion. */
  readonly completions: readonly (readonly ScoredCompletion[])[];
  readonly tape: ModelTape | null;
}

/** What backward needs; valid until the model scores again with `keep`. */
export interface ModelTape {
  /** Counts the tapes of a model: their buffers are the same ones. */
  readonly generation: number;
  readonly batch: PackedBatch;
  readonly predictions: Predictions;
  readonly temperature: number;
  readonly dropout: Dropout | null;
  readonly hidden: FloatTensor;
  /** Log-probabilities of all tokens [predictions, vocab], where they were kept. */
  readonly logps: FloatTensor | null;
  readonly decoder: DecoderTape;
  readonly visual: VisualInputs;
  readonly images: EncodedImages;
}

export interface VisionLanguageModel extends PolicyModel {
  readonly sizes: ModelConfig;
  readonly parameters: Parameters;
  readonly images: ImageFeatures;
  readonly vision: VisionTower;
  readonly decoder: TextDecoder;
  /** One forward over groups: each prompt once, its completions behind it. */
  score(groups: readonly Group[], options: ScoreOptions): Promise<Scored>;
  /** Adds the gradients of Σ dLogps · logps to the trained parameters' accumulators. dLogps: all tokens in packed order. */
  backward(tape: ModelTape, dLogps: Float32Array): Promise<void>;
  /**
   * Runs prompts only: calls back with each layer's keys and values of each prompt, [prompt, kvHeads * d] views that are
   * overwritten by the next layer. A recording of rows keeps the prompts' rows for backward.
   */
  prefill(prompts: readonly Prompt[], onKeysAndValues: OnKeysAndValues, recording?: Recording): Promise<Prefilled>;
  /** Room for the rows of prompts and of the completions that will be sampled from them, or for what is measured of them. */
  record(
    prompts: readonly Prompt[],
    room: Pick<RecordingShape, 'count' | 'maxTokens' | 'steps'> & { readonly tape: boolean },
    probe?: LayerProbe,
  ): Recording;
  /**
   * What `score` would return for sampled completions, from the rows that sampling has computed already; without a tape where
   * the recording keeps masses alone.
   */
  scoredFrom(recording: Recording, prefilled: Prefilled, sampled: readonly SampledGroup[], temperature: number): Scored;
  /** Attention implementation in force. */
  implementation(): AttentionImplementation;
  /**
   * Bytes by which smaller steps than those so far may make results of products grow: a step that is too large for them
   * keeps none, so the largest step is not the one that takes most.
   */
  readonly productRoom: number;
  release(): Promise<void>;
}

/** A probe and the layers it measures in. */
export type LayerProbe = Probe & { readonly layers: readonly number[] };

export type OnKeysAndValues = (layer: number, group: number, k: FloatTensor, v: FloatTensor) => void;

export interface Prefilled {
  /** [prompts, hidden]: the row that predicts each prompt's first new token. */
  readonly lastHidden: FloatTensor;
  /** Position of that token, the same on all three axes. */
  readonly nextPositions: readonly number[];
  readonly visual: VisualInputs;
  readonly images: EncodedImages;
}

/**
 * What a recording may take for log-probabilities of all tokens. They save backward the head's product; with a vocabulary
 * of 151,936 it recomputes them.
 */
const RECORDED_LOGPS_BYTES = 64 * 2 ** 20;

export interface ModelOptions {
  readonly attnImpl: AttentionImplementation;
  /** Null: where results of products would take too much memory. */
  readonly gradientCheckpointing: boolean | null;
  readonly runtime?: RuntimeOptions;
  /** Visual tokens of another model with the same vision tower; default: the model's own. */
  readonly images?: ImageFeatures;
}

export function createModel(sizes: ModelConfig, parameters: Parameters, options: ModelOptions): VisionLanguageModel {
  const workspace = createWorkspace();
  const { runtime } = options;
  const decoder = createTextDecoder(sizes, parameters, workspace, runtime);
  const vision = createVisionTower(sizes, parameters, workspace, runtime);
  const towerIsTrained = parameters.trained.some((name) => partOf(name) !== 'llm');
  const images = options.images ?? createImageFeatures(vision, towerIsTrained, budgetOfImages(parameters));
  const scoring = createScoringHead(sizes.text, parameters, workspace, runtime);
  const logits = createLayerModules(logitsHead(sizes.text), ROWS, parameters, workspace, {}, runtime);
  const table = (): FloatTensor => parameters.value(EMBEDDING);
  const config = configAttributes(sizes.raw, options.attnImpl);
  /** Layers after which the tower adds to the stream. */
  const deepLayers = sizes.architecture.vision(sizes).deepstack.length;
  const exclusive = createExclusive();
  let generation = 0;
  let checkpointing = options.gradientCheckpointing;
  const products = createProductMemory(sizes.text, parameters);
  const keepsProducts = (batchRows: number): boolean =>
    checkpointing === null ? products.fits(batchRows) : !checkpointing;

  const embeddings = async (
    groups: readonly Group[],
    batch: PackedBatch,
    keep: boolean,
    { into, dropout = null }: { into?: FloatTensor | undefined; dropout?: Dropout | null } = {},
  ) => {
    const encoded = await images.encode(
      groups.flatMap((group) => group.images),
      keep,
      dropout,
    );
    const visual: VisualInputs = {
      imagesOfGroup: groups.map((group) => group.images.map(({ hash }) => hash)),
      tokens: encoded.tokens,
    };
    const name = keep ? 'taped embeddings' : 'embeddings';
    const x = into ?? workspace.get(name, batch.rows, sizes.text.hiddenSize);
    embed(batch, table(), visual, sizes.imageTokenId, x);
    return { x, visual, encoded };
  };

  const deepstack = (batch: PackedBatch, visual: VisualInputs) => (layer: number, y: FloatTensor) => {
    if (layer < deepLayers) addDeepstack(batch, visual, sizes.imageTokenId, layer, y);
  };

  const forwardParts: ForwardParts = {
    sizes,
    parameters,
    decoder,
    logits: logits.of(headName(sizes.text)),
    embeddings: async (groups, batch) => {
      const { x, visual } = await embeddings(groups, batch, false);
      return { x, afterLayer: deepstack(batch, visual) };
    },
  };

  const model: VisionLanguageModel = {
    config,
    sizes,
    parameters,
    images,
    vision,
    decoder,
    get is_gradient_checkpointing() {
      return checkpointing === true;
    },
    // A choice by memory stays one: a plain forward keeps nothing, so neither call has anything to do there.
    gradient_checkpointing_disable() {
      if (checkpointing !== null) checkpointing = false;
    },
    gradient_checkpointing_enable() {
      if (checkpointing !== null) checkpointing = true;
    },
    get productRoom() {
      return products.room;
    },
    implementation: () => implementationOf(config),

    score: (groups, scoreOptions) => exclusive(() => score(groups, scoreOptions)),
    backward: (tape, dLogps) => exclusive(() => backward(tape, dLogps)),
    forward: (kwargs) => exclusive(() => plainForward(forwardParts, implementationOf(config), kwargs)),
    prefill: (prompts, onKeysAndValues, recording) => exclusive(() => prefill(prompts, onKeysAndValues, recording)),
    record(prompts, { tape, ...room }, probe) {
      const promptLengths = prompts.map(({ promptIds }) => promptIds.length);
      const withRows = () => (keepsProducts(recordedRows({ promptLengths, ...room })) ? 'products' : 'rows');
      return createRecording(sizes.text, workspace, {
        promptLengths,
        ...room,
        probedLayers: probe?.layers ?? [],
        spans: probe?.spans ?? 0,
        keeps: tape ? withRows() : 'masses',
        logpsBytes: RECORDED_LOGPS_BYTES,
      });
    },
    scoredFrom,

    async release() {
      await Promise.all([decoder, vision, scoring, logits].map((part) => part.release()));
    },
  };

  /**
   * A group's rows. Nothing comes after a completion's last token: its row takes part in no log-probability and no
   * gradient, only in what is measured of itself.
   */
  function toPack(group: Group, lastTokens: boolean): GroupToPack {
    const completions = lastTokens ? group.completions : group.completions.map((ids) => ids.slice(0, -1));
    return withPositions({ ...group, completions }, sizes);
  }

  async function score(
    groups: readonly Group[],
    { temperature, keep, probe, dropout = null }: ScoreOptions,
  ): Promise<Scored> {
    const batch = packGroups(groups.map((group) => toPack(group, probe !== undefined)));
    const { x, visual, encoded } = await embeddings(groups, batch, keep, { dropout });
    const implementation = implementationOf(config);
    const predictions = predictionsOf(batch, completionsOf(groups));
    const { hidden, masses, tape } = await decoder.forward(batch, x, {
      implementation,
      keep,
      products: keep && keepsProducts(batch.rows),
      outputRows: predictions.outputRows,
      probe,
      dropout,
      afterLayer: deepstack(batch, visual),
    });
    const { logps, entropies } = await scoring.forward(hidden, predictions, { temperature, dropout });
    const completions = perCompletion(groups, { logps, entropies, masses });
    if (tape === null) return { completions, tape: null };
    generation++;
    const kept = { hidden, logps: null, decoder: tape };
    return {
      completions,
      tape: { generation, batch, predictions, temperature, dropout, ...kept, visual, images: encoded },
    };
  }

  async function backward(modelTape: ModelTape, dLogps: Float32Array): Promise<void> {
    const {
      batch,
      predictions,
      temperature,
      dropout,
      hidden,
      logps,
      decoder: tape,
      visual,
      images: encoded,
    } = modelTape;
    if (modelTape.generation !== generation)
      throw new Error('internal: backward on a tape that a later score has overwritten');
    const dHidden = await scoring.backward(hidden, predictions, { temperature, dropout }, dLogps, logps);
    const cotangents = cotangentsOf(encoded);
    const dTokens = new Map(cotangents.flatMap(({ parts }) => parts));
    const dEmbeddings = await decoder.backward(tape, dHidden, (layer, dy) => {
      if (layer < deepLayers) addDeepstackBackward(batch, dy, visual, sizes.imageTokenId, layer, dTokens);
    });
    const dTable = parameters.isTrained(EMBEDDING) ? parameters.gradient(EMBEDDING) : null;
    embedBackward(batch, dEmbeddings, visual, sizes.imageTokenId, dTable, dTokens);
    for (const { tape: visionTape, whole } of cotangents) await vision.backward(visionTape, whole);
  }

  function scoredFrom(
    recording: Recording,
    { visual, images: encoded }: Prefilled,
    sampled: readonly SampledGroup[],
    temperature: number,
  ): Scored {
    const { masses, rows: recorded } = recording.finish(lengthsOf(sampled));
    const completions = sampledCompletions(sampled, masses);
    if (recorded === null) return { completions, tape: null };
    const { layers, hidden, order, logps } = recorded;
    const batch = packGroups(sampled.map((group) => toPack(group, false)));
    const predictions = predictionsOf(batch, completionsOf(sampled));
    const { outputRows } = predictions;
    const decoderTape: DecoderTape = {
      batch,
      implementation: implementationOf(config),
      angles: textAngles(sizes.text, batch),
      layers,
      order,
      outputRows,
    };
    generation++;
    const lyingAt = outputRows.map((row) => order[row]!);
    const output = gatherRows(hidden, lyingAt, workspace.get('output', outputRows.length, sizes.text.hiddenSize));
    return {
      completions,
      tape: {
        generation,
        batch,
        predictions,
        temperature,
        dropout: null,
        hidden: output,
        logps,
        decoder: decoderTape,
        visual,
        images: encoded,
      },
    };
  }

  async function prefill(
    prompts: readonly Prompt[],
    onKeysAndValues: OnKeysAndValues,
    recording?: Recording,
  ): Promise<Prefilled> {
    const groups = prompts.map((prompt): Group => ({ ...prompt, completions: [] }));
    const packed = groups.map((group) => withPositions(group, sizes));
    const batch = packGroups(packed);
    const taped = recording?.keeps === 'masses' ? undefined : recording;
    const into = taped?.promptLayers;
    const { x, visual, encoded } = await embeddings(groups, batch, taped !== undefined, { into: into?.[0]?.x });
    // Only what predicts a first token goes through the last layer's end.
    const lastRows = Int32Array.from(batch.groups, ({ prompt }) => prompt.start + prompt.length - 1);
    const { hidden } = await decoder.forward(batch, x, {
      implementation: implementationOf(config),
      keep: false,
      outputRows: lastRows,
      into,
      afterLayer: deepstack(batch, visual),
      onProjections: (layer, { k, v }) => {
        for (const [g, { prompt }] of batch.groups.entries()) {
          const [start, end] = [prompt.start, prompt.start + prompt.length];
          onKeysAndValues(layer, g, rows(k, start, end), rows(v, start, end));
        }
      },
    });
    const lastHidden = zeros(prompts.length, sizes.text.hiddenSize);
    lastHidden.data.set(hidden.data);
    taped?.promptsHidden(lastHidden);
    const nextPositions = packed.map(({ promptIds, promptPositions }) => promptIds.length + promptPositions.delta);
    return { lastHidden, nextPositions, visual, images: encoded };
  }

  return model;
}

// --- internal ---

/** Bytes of visual tokens that are kept: a sixteenth of the weights, which a large tower is worth, or 64 MiB. */
function budgetOfImages(parameters: Parameters): number {
  return Math.max(64 * 2 ** 20, bytesOf(parameters, parameters.names) / 16);
}
