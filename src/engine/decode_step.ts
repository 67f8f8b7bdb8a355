/**
 * Computes the next tokens of every completion: all decoder layers and the draw. A small model computes several tokens in
 * one run; a large one computes a token in several runs, so that the event loop gets its turns. Reads and fills the cache.
 * Everything goes by place. Places without a completion may be fed anything, and their results mean nothing.
 */

import type { DecoderBlock, ModelConfig, TextConfig } from '../models/architecture.ts';
import { HEAD_LAYER, layerTensor } from '../models/names.ts';
import { type Adapters, adapted } from '../nn/adapter.ts';
import { blockParams, productWeights } from '../nn/block_ops.ts';
import type { WeightForm } from '../nn/linear.ts';
import { angleTable, inverseFrequencies } from '../nn/rope.ts';
import { type CompiledModule, createModuleCache } from '../runtime/compiled_module.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { counting } from '../util/index_lists.ts';
import { readWeightsOf } from './bindings.ts';
import { type BlockedWeights, createBlockedWeights } from './blocked_weights.ts';
import {
  BLOCK_ROWS,
  cutLayers,
  DECODE_LIMITS,
  type DecodeLimits,
  formWithoutCopy,
  MOST_TOKENS,
  tokensPerRun,
  weightsOfLayer,
} from './decode_cost.ts';
import { type DecodeLayersOptions, decodeLayers } from './decode_layers.ts';
import { type BoundRuns, bindRuns, isBoundFor, nameInRun, type RunTarget } from './decode_runs.ts';
import type { Drawn } from './drawn_tokens.ts';
import { headName } from './heads.ts';
import { openTokens } from './kv_cache.ts';
import { formKinds, formsIn } from './layer_modules.ts';
import type { Parameters, StoredWeight } from './parameters.ts';
import type { TokenRows } from './recording.ts';
import type { ResidentForm } from './resident_form.ts';
import { RUN_FLOP } from './run_limits.ts';
import type { WorkingMemory } from './working_memory.ts';

/** The cache says how many tokens a step computes (`cache.atOnce`). */
export interface DecodeStepInputs extends RunTarget {
  /** The last id of each completion [places], and its rotary position [places], the same on all three axes. */
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  /** For each of the next tokens a number in [0, 1) to draw it with: [tokens, places]. */
  readonly uniform: Float32Array;
  /** Writes what depends on the tokens so far; see `BoundRuns`. */
  fill(rows: Pick<BoundRuns, 'penalty' | 'bans'>): void;
  /** Tokens the cache holds of each completion. */
  readonly length: number;
}

/** A token of every completion: the rows that were kept of it, and the token drawn from it. */
export interface DecodedToken {
  readonly rows: TokenRows | null;
  readonly drawn: Drawn;
}

export interface DecodeStep {
  /** Tokens to compute at once, for so many places, where `wanted` are to come. */
  tokensAtOnce(places: number, wanted: number): number;
  /** The next tokens, each drawn from the one before; the cache holds as many tokens more. Errors: those of the runtime. */
  run(inputs: DecodeStepInputs): Promise<DecodedToken[]>;
  /** Lets go of the last cache and recording, so that their memory can grow. The next run copies trained weights anew. */
  forget(): void;
  release(): Promise<void>;
}

export function createDecodeStep(
  modelConfig: ModelConfig,
  parameters: Parameters,
  memory: WorkingMemory,
  { runBytes, copyBytes }: DecodeLimits = DECODE_LIMITS,
): DecodeStep {
  const { text: config } = modelConfig;
  const { device } = memory;
  const { hiddenSize, headDim, numHiddenLayers, vocabSize } = config;
  const block = modelConfig.architecture.decoderBlock(modelConfig);
  const weights = numHiddenLayers * weightsOfLayer(parameters) + vocabSize * hiddenSize;
  const weightBytes = Float32Array.BYTES_PER_ELEMENT * weights;
  const pieces = cutLayers(numHiddenLayers, parameters, runBytes);
  const frequencies = inverseFrequencies(config.ropeTheta, headDim, headDim / 2);
  const modules = createModuleCache(device);
  const moduleOf = (options: DecodeLayersOptions, first: number): CompiledModule => {
    // Copies in blocks include the updates of adapters.
    const adapters = options.form === 'blocks' ? {} : adaptersOfRun(parameters, block, first, options);
    const frozen = Array.from({ length: options.count }, (_, i) => frozenOf(first + i));
    const resident = Array.from({ length: options.count }, (_, i) => residentOf(first + i));
    const module = decodeLayers(block, config, options, frozen, resident);
    const forms = formsIn(module, parameters, nameInRun(config, first));
    const key = JSON.stringify([
      options,
      adapters,
      formKinds(forms),
      frozen.map((weights) => frozenKey(weights, first)),
    ]);
    return modules.get(key, () => ({ ...adapted(module, adapters), forms }));
  };
  const frozenNames = productWeights({ ...block.before, ...block.after }, block.joint);
  const frozenOf = (layer: number): Record<string, StoredWeight> =>
    Object.fromEntries(
      frozenNames.flatMap((name) => {
        const stored = device.sharesMemory ? (parameters.stored?.(layerTensor(layer, name)) ?? null) : null;
        return stored === null ? [] : [[name, stored]];
      }),
    );
  /** Those of one layer that the device keeps in its own memory, in other forms than float32. */
  const residentOf = (layer: number): Record<string, ResidentForm> =>
    formsIn({ params: blockParams({ ...block.before, ...block.after }, block.joint, 'right') }, parameters, (name) =>
      layerTensor(layer, name),
    );
  /** Weights that are not float32 are widened or multiplied where they are, which takes them on the left. */
  const holdsFrozen = Object.keys(frozenOf(0)).length > 0;

  let copies: BlockedWeights | null | undefined;
  let fresh = false;

  const copyWeights = (): Promise<BlockedWeights | null> => {
    const head = headName(config)('head.weight');
    const layerOf = (name: string): string => (name === head ? HEAD_LAYER : name.replace(/\.weight$/, ''));
    return createBlockedWeights(parameters, productNames(block, config), device, layerOf);
  };

  /** Copies of the weights as they are in this rollout; null for large models and for many places. */
  async function inBlocks(places: number): Promise<BlockedWeights | null> {
    if (!parameters.inMemory || weightBytes > copyBytes || places > BLOCK_ROWS) return null;
    if (copies === undefined) copies = await copyWeights();
    if (!fresh) await copies?.refresh();
    fresh = true;
    return copies;
  }

  /** A graphics processor takes all weights on the right, as the other modules do: it keeps them once. */
  function formOf(places: number, blocks: BlockedWeights | null): WeightForm {
    if (device.sharesMemory && holdsFrozen) return 'left';
    return blocks === null ? formWithoutCopy(places, device) : 'blocks';
  }

  async function bind(target: RunTarget): Promise<BoundRuns> {
    const places = target.cache.groups.length * target.cache.rows;
    const blocks = await inBlocks(places);
    return bindRuns(
      {
        ...{ config, parameters, memory, pieces, moduleOf, frozenOf },
        form: formOf(places, blocks),
        // Only weights in blocks have more than two axes.
        tensorOf: (name, shape) => (shape.length > 2 ? blocks!.value(name) : parameters.value(name)),
      },
      target,
    );
  }

  let bound: BoundRuns | null = null;

  return {
    tokensAtOnce(places, wanted) {
      if (pieces.length > 1) return 1;
      return tokensPerRun(wanted, Math.min(runBytes / weightBytes, RUN_FLOP / (2 * weights * places), MOST_TOKENS));
    },

    async run(inputs) {
      const { positions, cache, length, recording } = inputs;
      if (bound === null || !isBoundFor(bound, inputs)) bound = await bind(inputs);
      const { ids, tokens, runs } = bound;
      inputs.fill(bound);
      const places = positions.length;
      ids.data.set(inputs.ids);
      for (const [t, { cos, sin, uniform }] of tokens.entries()) {
        const angles = angleTable(places, frequencies, (place) => positions[place]! + t);
        cos.data.set(angles.cos);
        sin.data.set(angles.sin);
        uniform.data.set(inputs.uniform.subarray(t * places, (t + 1) * places));
      }
      openTokens(cache, length);
      const opened = recording === null ? [] : tokens.map(() => recording.open(places));
      for (const [t, { first }] of opened.entries()) tokens[t]!.places.data.set(counting(places, first));
      let y: Tensor | undefined;
      for (const { first, module, feeds, into, taken } of runs) {
        if (y !== undefined) feeds.x = y;
        // Weights in memory are bound already; others are read when they are used.
        if (!parameters.inMemory)
          Object.assign(feeds, await readWeightsOf(module, parameters, nameInRun(config, first)));
        for (const { output, token, pick } of taken) into[output] = pick(opened[token]!);
        await module.forward(feeds, into);
        y = into['0.y'];
      }
      return tokens.map(({ drawn }, t) => ({ rows: opened[t] ?? null, drawn }));
    },

    forget() {
      bound = null;
      if (parameters.trained.length > 0) fresh = false;
    },

    async release() {
      await Promise.all([modules.release(), copies?.release()]);
    },
  };
}

// --- internal ---

/** Tells modules apart: codes are part of a module's graph, while words are fed. */
const frozenKey = (weights: Readonly<Record<string, StoredWeight>>, first: number): unknown[] =>
  Object.entries(weights).map(([name, { kind }]) => (kind === 'half' ? name : [name, first]));

/** Adapters in the run that begins at layer `first`, by the names that `nameInRun` translates. */
function adaptersOfRun(
  { adapters }: Parameters,
  { before, after }: DecoderBlock,
  first: number,
  { count, sampling }: Pick<DecodeLayersOptions, 'count' | 'sampling'>,
): Adapters {
  const linears = Object.entries({ ...before, ...after }).flatMap(([name, shape]) =>
    shape.length === 2 ? [name.replace(/\.weight$/, '')] : [],
  );
  const inRun = Array.from({ length: count }, (_, i) =>
    linears.map((layer) => [`${i}.${layer}`, adapters[layerTensor(first + i, layer)]] as const),
  );
  const ofHead = sampling === null ? [] : [['head', adapters[HEAD_LAYER]] as const];
  return Object.fromEntries(
    [...inRun.flat(), ...ofHead].flatMap(([layer, adapter]) => (adapter === undefined ? [] : [[layer, adapter]])),
  );
}

/** Names of the weights that a step multiplies by. */
function productNames({ before, after, joint }: DecoderBlock, config: TextConfig): string[] {
  const ofLayer = productWeights({ ...before, ...after }, joint);
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) =>
    ofLayer.map((name) => layerTensor(layer, name)),
  );
  return [...layers.flat(), headName(config)('head.weight')];
}
