/**
 * A vision-language model as one object: it scores groups of completions, carries derivatives back, prepares sampling, and
 * runs the plain forward that rewards call. One such call runs at a time. The attention implementation is read from
 * `config` at every call.
 */

import type { ModelConfig } from '../models/architecture.ts';
import type { PolicyModel } from '../models/types.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Device } from '../runtime/device.ts';
import { createExclusive } from '../util/mutex.ts';
import { configAttributes, implementationOf } from './config_attributes.ts';
import type { CompletionIds, Group, Prompt, TokenScores } from './groups.ts';
import type { ImageFeatures } from './image_features.ts';
import { createModelParts } from './model_parts.ts';
import { type AttentionWatch, observeAttention } from './observed_attention.ts';
import type { Parameters } from './parameters.ts';
import { plainForward } from './plain_forward.ts';
import { type OnKeysAndValues, type Prefilled, prefillPrompts } from './prefill.ts';
import { createRecording, type Recording, type RecordingShape, recordedRows } from './recording.ts';
import { createProductMemory } from './residual_budget.ts';
import {
  backwardFrom,
  type LayerProbe,
  type ModelTape,
  type Scored,
  type ScoreOptions,
  scoreGroups,
  scoreRecorded,
} from './scored_groups.ts';
import type { AttentionImplementation } from './text_attention.ts';
import type { TextDecoder } from './text_decoder.ts';
import type { VisionTower } from './vision_tower.ts';

export interface VisionLanguageModel extends PolicyModel {
  /** The checked config.json. (`config` is its live counterpart under transformers' names, for rewards.) */
  readonly modelConfig: ModelConfig;
  readonly parameters: Parameters;
  readonly images: ImageFeatures;
  readonly vision: VisionTower;
  readonly decoder: TextDecoder;
  /** Where it runs. */
  readonly device: Device;
  /** One forward over groups: each prompt once, its completions behind it. */
  score<P extends Prompt, C extends CompletionIds>(
    groups: readonly Group<P, C>[],
    options: ScoreOptions,
  ): Promise<Scored<P, C>>;
  /**
   * Adds the gradients of Σ dLogps · logps + Σ dEntropies · entropies to the accumulators of the trained parameters. Spends the
   * tape.
   *
   * @param tape of the newest forward or recording that kept one
   * @param dLogps of all completion tokens, completion after completion: [tokens]
   * @param dEntropies the same of their entropies; null: 0
   */
  backward(tape: ModelTape, dLogps: Float32Array, dEntropies?: Float32Array | null): Promise<void>;
  /** Runs prompts alone. A recording of rows keeps theirs for backward. */
  prefill(prompts: readonly Prompt[], onKeysAndValues: OnKeysAndValues, recording?: Recording): Promise<Prefilled>;
  /**
   * Memory for the rows of prompts and of the completions that will be sampled from them; without `tape`, for what the
   * probe measures of them alone.
   */
  record(
    prompts: readonly Prompt[],
    room: Pick<RecordingShape, 'count' | 'maxTokens' | 'steps'> & { readonly tape: boolean },
    probe?: LayerProbe,
  ): Recording;
  /** What `score` would return for sampled completions, from the rows that were recorded while they were sampled. */
  scoreRecorded<P extends Prompt, C extends CompletionIds & TokenScores>(
    recording: Recording,
    prefilled: Prefilled,
    groups: readonly Group<P, C>[],
    temperature: number,
  ): Promise<Scored<P, C>>;
  /** A forward that keeps nothing and shows the attention of completions: see `AttentionWatch`. */
  observe(groups: readonly Group<Prompt, CompletionIds>[], watch: AttentionWatch): Promise<void>;
  /** Attention implementation in force. */
  implementation(): AttentionImplementation;
  /** Bytes by which the memory for results of products may still grow: see `ProductMemory.room`. */
  readonly productRoom: number;
  release(): Promise<void>;
}

export interface ModelOptions {
  readonly attnImpl: AttentionImplementation;
  /** Null: recompute only where results of products would take too much memory. */
  readonly gradientCheckpointing: boolean | null;
  readonly device?: Device;
  /** Visual tokens of another model with the same vision tower; default: the model's own. */
  readonly images?: ImageFeatures | undefined;
}

/** Compiles a model over its weights. Errors of its calls: E_ATTN_IMPLEMENTATION, E_FORWARD_INPUT, those of the runtime. */
export function createModel(
  modelConfig: ModelConfig,
  parameters: Parameters,
  options: ModelOptions,
): VisionLanguageModel {
  const { text } = modelConfig;
  const { device = cpu } = options;
  const parts = createModelParts(modelConfig, parameters, device, options.images);
  const { images, vision, decoder, scoring, logits, memory } = parts;
  const config = configAttributes(modelConfig.raw, options.attnImpl);
  const implementation = (): AttentionImplementation => implementationOf(config);
  const exclusive = createExclusive();
  const products = createProductMemory(text, parameters);
  let checkpointing = options.gradientCheckpointing;
  const keepsProducts = (rows: number): boolean => (checkpointing === null ? products.fits(rows) : !checkpointing);

  /** The only tape that backward may start from: tapes share their buffers. */
  let openTape: ModelTape | null = null;
  const opening = <S extends { readonly tape: ModelTape | null }>(scored: S): S => {
    if (scored.tape !== null) openTape = scored.tape;
    return scored;
  };

  return {
    config,
    modelConfig,
    parameters,
    images,
    vision,
    decoder,
    device,
    get is_gradient_checkpointing() {
      return checkpointing === true;
    },
    // Where memory decides, it goes on deciding: a plain forward keeps nothing, so a reward gains nothing by either call.
    gradient_checkpointing_disable() {
      if (checkpointing !== null) checkpointing = false;
    },
    gradient_checkpointing_enable() {
      if (checkpointing !== null) checkpointing = true;
    },
    get productRoom() {
      return products.room;
    },
    implementation,

    score: (groups, scoreOptions) =>
      exclusive(async () =>
        opening(await scoreGroups(parts, groups, scoreOptions, { implementation: implementation(), keepsProducts })),
      ),
    backward: (tape, logps, entropies = null) =>
      exclusive(async () => {
        if (tape !== openTape) throw new Error('internal: backward on a tape that is spent or overwritten');
        openTape = null;
        await backwardFrom(parts, tape, { logps, entropies });
      }),
    observe: (groups, watch) => exclusive(() => observeAttention(parts, groups, watch, implementation())),
    forward: (kwargs) => exclusive(() => plainForward(parts, implementation(), kwargs)),
    prefill: (prompts, onKeysAndValues, recording) =>
      exclusive(() => prefillPrompts(parts, prompts, onKeysAndValues, implementation(), recording)),
    record(prompts, { tape, ...room }, probe) {
      const promptLengths = prompts.map(({ ids }) => ids.length);
      const withRows = () => (keepsProducts(recordedRows({ promptLengths, ...room })) ? 'products' : 'rows');
      return createRecording(text, memory, {
        promptLengths,
        ...room,
        probedLayers: probe?.layers ?? [],
        spans: probe?.spans ?? 0,
        keeps: tape ? withRows() : 'masses',
        logpsBytes: RECORDED_LOGPS_BYTES,
      });
    },
    scoreRecorded: (recording, prefilled, groups, temperature) =>
      exclusive(async () =>
        opening(
          await scoreRecorded(parts, recording, prefilled, groups, { temperature, implementation: implementation() }),
        ),
      ),

    async release() {
      await Promise.all([decoder, vision, scoring, logits, memory.moves].map((part) => part.release()));
    },
  };
}

// --- internal ---

/**
 * Bytes that a recording may take for log-probabilities of all tokens, which save backward the head's product. With a
 * vocabulary of 151,936 they would exceed this, and backward computes them again.
 */
const RECORDED_LOGPS_BYTES = 64 * 2 ** 20;
