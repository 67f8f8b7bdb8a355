/**
 * Computes the next tokens of every completion: all decoder layers and the draw, several tokens in one run of a small
 * model, a token in as few runs as keep the event loop alive of a large one. Reads and fills the cache. Everything goes by
 * place; at a place where no completion stands, anything may be fed, and what comes out means nothing.
 */

import type { DecoderBlock, ModelConfig, TextConfig } from '../models/architecture.ts';
import { EMBEDDING, HEAD_LAYER, layerTensor } from '../models/names.ts';
import { type Adapters, adapted } from '../nn/adapter.ts';
import { productWeights } from '../nn/block_ops.ts';
import { angleTable, inverseFrequencies } from '../nn/rope.ts';
import { type CompiledModule, createModuleCache } from '../runtime/compiled_module.ts';
import { pin, type RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, type IntTensor, ints, sizeOf, type Tensor, zeros } from '../runtime/tensor.ts';
import type { Workspace } from '../runtime/workspace.ts';
import { type NameOf, readWeightsOf, type TensorOf, weightsOf } from './bindings.ts';
import { type BlockedWeights, createBlockedWeights } from './blocked_weights.ts';
import { asOutput, type DecodeLayersOptions, decodeLayers } from './decode_layers.ts';
import { headName } from './heads.ts';
import { type KvCache, openTokens } from './kv_cache.ts';
import { type LayerProducts, PRODUCTS } from './layer_tape.ts';
import type { Parameters } from './parameters.ts';
import type { Recording, TokenRows } from './recording.ts';
import { piecesOf } from './row_chunks.ts';
import { RUN_FLOP } from './run_limits.ts';
import type { SamplingHead } from './sampling.ts';

export interface DecodeStepInputs {
  /** The last id of each completion and its rotary position (the same on all three axes). */
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  /** For each of the next tokens a number in [0, 1) to draw it with: [tokens, places]. */
  readonly uniform: Float32Array;
  /** As many tokens are computed as it takes at once. */
  readonly cache: KvCache;
  /** Tokens the cache holds of each completion. */
  readonly length: number;
  readonly sampling: Sampling;
  /** Who keeps the rows that are computed, and the masses that are measured. */
  readonly recording: Recording | null;
  readonly probe?: DecodeProbe;
}

/** How tokens are drawn, the same in all steps of a rollout. */
export interface Sampling {
  readonly head: SamplingHead;
  /** [vocab]: 0, or -inf for ids that must not be drawn. */
  readonly banned: FloatTensor;
  /** [] */
  readonly inverseTemperature: FloatTensor;
}

/** What was drawn; overwritten by the next step. */
export interface Drawn {
  readonly id: FloatTensor;
  readonly logp: FloatTensor;
  readonly entropy: FloatTensor;
  /** [places, vocab], if the sampling head returns them. */
  readonly logps?: FloatTensor;
}

/** Attention masses to measure. */
export interface DecodeProbe {
  readonly layers: readonly number[];
  readonly spans: number;
  /** Which prompt columns belong to a span, of a cache's groups: [groups, prompt, spans] */
  readonly indicatorOf: (cache: KvCache) => FloatTensor;
}

/** A token of every completion: the rows that were kept of it, and the token drawn from it. */
export interface DecodedToken {
  readonly rows: TokenRows | null;
  readonly drawn: Drawn;
}

export interface DecodeStep {
  /** Tokens to compute at once of so many places, where `wanted` are to come. */
  tokensAtOnce(places: number, wanted: number): number;
  /** The next tokens, each drawn from the one before; the cache holds as many tokens more. */
  run(inputs: DecodeStepInputs): Promise<DecodedToken[]>;
  /** Lets go of the last cache and recording, whose memory may have to grow. Trained weights are copied anew after it. */
  forget(): void;
  release(): Promise<void>;
}

/** Up to this many rows it is faster to stream a weight from the left than to have it on the right (docs/log.md). */
const FEW_ROWS = 32;
/** Up to this many rows a weight in blocks is faster than both (docs/log.md). */
export const BLOCK_ROWS = 128;

/** Where the weights of so many rows' products are, if there is no copy of them in blocks. */
export const formWithoutCopy = (rows: number): 'left' | 'right' => (rows <= FEW_ROWS ? 'left' : 'right');

/** Sizes of models at which decoding goes another way; tests reach both sides with others. */
export interface DecodeLimits {
  /** Weights that one run reads: some 20 ms of streaming, in which nothing else happens. The last has the head as well. */
  readonly runBytes: number;
  /** Weights of which copies in blocks are kept. */
  readonly copyBytes: number;
}

export const DECODE_LIMITS: DecodeLimits = { runBytes: 512 * 2 ** 20, copyBytes: 2 * 2 ** 30 };

/** Tokens of a run: more gain nothing (measured: see docs/log.md), and each makes compiling longer. */
const MOST_TOKENS = 4;
/** What starting a run costs, in tokens of a small model. */
const START_COST = 0.07;

/**
 * Into runs of how many tokens, `most` at most, to cut `wanted` ones: the fewest started runs, tokens left over in the last
 * one, and tokens computed after all completions have ended, which is half a run on average.
 */
export function tokensPerRun(wanted: number, most: number): number {
  const cost = (tokens: number): number => {
    const runs = Math.ceil(wanted / tokens);
    return START_COST * runs + (runs * tokens - wanted) + (tokens - 1) / 2;
  };
  const counts = Array.from({ length: Math.max(1, Math.floor(most)) }, (_, i) => i + 1);
  return counts.reduce((best, count) => (cost(count) < cost(best) ? count : best));
}

/** Room for what a sampling head returns of so many rows; another `name`, other memory. */
export function drawnRows(
  workspace: Workspace,
  name: string,
  rows: number,
  { logps }: SamplingHead,
  vocabSize: number,
): Drawn {
  const buffer = (which: string, width: number): FloatTensor => pin(workspace.get(`${name}.${which}`, rows, width));
  return {
    id: buffer('id', 1),
    logp: buffer('logp', 1),
    entropy: buffer('entropy', 1),
    ...(logps ? { logps: buffer('logps', vocabSize) } : {}),
  };
}

export function createDecodeStep(
  model: ModelConfig,
  parameters: Parameters,
  workspace: Workspace,
  runtime: RuntimeOptions = {},
  { runBytes, copyBytes }: DecodeLimits = DECODE_LIMITS,
): DecodeStep {
  const { text: config } = model;
  const { hiddenSize, headDim, numHiddenLayers, vocabSize } = config;
  const block = model.architecture.decoderBlock(model);
  const layerWeights = weightsOfLayer(parameters);
  const weightBytes = Float32Array.BYTES_PER_ELEMENT * (numHiddenLayers * layerWeights + vocabSize * hiddenSize);
  const layerRuns = cutLayers(config, parameters, layerWeights, runBytes);
  const frequencies = inverseFrequencies(config.ropeTheta, headDim, headDim / 2);
  const modules = createModuleCache(runtime);
  const moduleOf = (options: DecodeLayersOptions, first: number): CompiledModule => {
    // Copies in blocks are of weights that have their updates.
    const adapters = options.form === 'blocks' ? {} : adaptersOfRun(parameters, block, first, options);
    const key = JSON.stringify([options, adapters]);
    return modules.get(key, () => adapted(decodeLayers(block, config, options), adapters));
  };

  let copies: BlockedWeights | null | undefined;
  let fresh = false;

  const copyWeights = (): Promise<BlockedWeights | null> => {
    const head = headName(config)('head.weight');
    const layerOf = (name: string): string => (name === head ? HEAD_LAYER : name.replace(/\.weight$/, ''));
    return createBlockedWeights(parameters, productNames(block, config), runtime, layerOf);
  };

  /** Copies of the weights as they are in this rollout; of a large model there are none. */
  async function inBlocks(places: number): Promise<BlockedWeights | null> {
    if (!parameters.inMemory || weightBytes > copyBytes || places > BLOCK_ROWS) return null;
    if (copies === undefined) copies = await copyWeights();
    if (!fresh) await copies?.refresh();
    fresh = true;
    return copies;
  }

  /** Everything that stays the same while the cache does. */
  async function arrange({ cache, sampling, probe, recording }: DecodeStepInputs): Promise<Arrangement> {
    const places = cache.groups.length * cache.rows;
    const blocks = await inBlocks(places);
    const form = blocks === null ? formWithoutCopy(places) : 'blocks';
    // Only weights in blocks have more than two axes.
    const tensorOf: TensorOf = (name, shape) => (shape.length > 2 ? blocks!.value(name) : parameters.value(name));
    const taped = recording !== null && recording.keeps !== 'masses';
    const products = recording?.keeps === 'products';
    const ids = pin(ints(new Int32Array(places), [places]));
    const tokens = cache.next.map((next, t) => ({
      cos: pin(zeros(places, headDim / 2)),
      sin: pin(zeros(places, headDim / 2)),
      uniform: pin(zeros(places)),
      drawn: drawnRows(workspace, `drawn.${t}`, places, sampling.head, vocabSize),
      ...next,
    }));
    const standing: Record<string, Tensor> = {
      ...(probe === undefined ? {} : { indicator: pin(probe.indicatorOf(cache)) }),
    };
    for (const [t, { cos, sin, unseen, slots }] of tokens.entries())
      Object.assign(standing, { [`${t}.cos`]: cos, [`${t}.sin`]: sin, [`${t}.unseen`]: unseen, [`${t}.slots`]: slots });
    const runs = layerRuns.map(({ first, count }): Run => {
      const layers = Array.from({ length: count }, (_, i) => first + i);
      const probed = layers.flatMap((layer, i) => (probe?.layers.includes(layer) ? [i] : []));
      const isLast = first + count === numHiddenLayers;
      const options: DecodeLayersOptions = {
        count,
        tokens: tokens.length,
        form,
        embeds: first === 0,
        sampling: isLast ? sampling.head : null,
        taped,
        products,
        probed,
        spans: probed.length === 0 ? 0 : probe!.spans,
      };
      const module = moduleOf(options, first);
      const weights = parameters.inMemory ? weightsOf(module, parameters, nameIn(config, first), tensorOf) : {};
      const feeds: Record<string, Tensor> = { ...weights, ...standing };
      const into: Record<string, FloatTensor> = {};
      if (first === 0) feeds.ids = ids;
      if (isLast) {
        const { banned, inverseTemperature } = sampling;
        Object.assign(feeds, { banned, inverseTemperature });
        for (const [t, { uniform, drawn }] of tokens.entries()) {
          feeds[`${t}.uniform`] = uniform;
          for (const [name, tensor] of Object.entries(drawn)) into[`${t}.${name}`] = tensor;
        }
      } else if (!taped) {
        const y = workspace.get(`decode.y.${first}`, places, hiddenSize);
        into['0.y'] = pin(asOutput(form, 'y')(y));
      }
      for (const [i, layer] of layers.entries()) {
        const { kPrompt, vPrompt, kOwn, vOwn } = cache.layers[layer]!;
        Object.assign(feeds, {
          [`kPrompt.${i}`]: kPrompt,
          [`vPrompt.${i}`]: vPrompt,
          [`kOwn.${i}`]: kOwn,
          [`vOwn.${i}`]: vOwn,
        });
        // The cache's own memory: keys and values of each token are put into it.
        for (const t of tokens.keys()) Object.assign(into, { [`${t}.kOwn.${i}`]: kOwn, [`${t}.vOwn.${i}`]: vOwn });
      }
      const taken = recording === null ? [] : rowsOf(layers, probed, { tokens: tokens.length, form, taped, products });
      return { first, module, feeds, into, taken };
    });
    return { cache, sampling, probe, recording, ids, tokens, runs };
  }

  let arrangement: Arrangement | null = null;

  return {
    tokensAtOnce(places, wanted) {
      if (layerRuns.length > 1) return 1;
      const flop = (2 * weightBytes * places) / Float32Array.BYTES_PER_ELEMENT;
      return tokensPerRun(wanted, Math.min(runBytes / weightBytes, RUN_FLOP / flop, MOST_TOKENS));
    },

    async run(inputs) {
      const { positions, cache, length, recording } = inputs;
      if (arrangement === null || !isFor(arrangement, inputs)) arrangement = await arrange(inputs);
      const { ids, tokens, runs } = arrangement;
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
      let y: FloatTensor | undefined;
      for (const run of runs) {
        const { first, module, feeds, into, taken } = run;
        if (y !== undefined) feeds.x = y;
        // Weights in memory are bound already; others are read when they are used.
        if (!parameters.inMemory) Object.assign(feeds, await readWeightsOf(module, parameters, nameIn(config, first)));
        for (const { output, token, pick } of taken) into[output] = pick(opened[token]!);
        await module.forward(feeds, into);
        y = into['0.y'];
      }
      return tokens.map(({ drawn }, t) => ({ rows: opened[t] ?? null, drawn }));
    },

    forget() {
      arrangement = null;
      if (parameters.trained.length > 0) fresh = false;
    },

    async release() {
      await Promise.all([modules.release(), copies?.release()]);
    },
  };
}

// --- internal ---

/** The runs of a step for a cache, bound to their tensors. */
interface Arrangement extends Pick<DecodeStepInputs, 'cache' | 'sampling' | 'probe' | 'recording'> {
  readonly ids: IntTensor;
  readonly tokens: readonly {
    readonly cos: FloatTensor;
    readonly sin: FloatTensor;
    readonly uniform: FloatTensor;
    readonly drawn: Drawn;
  }[];
  readonly runs: readonly Run[];
}

interface Run {
  /** Its first layer. */
  readonly first: number;
  readonly module: CompiledModule;
  readonly feeds: Record<string, Tensor>;
  readonly into: Record<string, FloatTensor>;
  /** Outputs that a recording takes, and where it has them. */
  readonly taken: readonly TakenRows[];
}

interface TakenRows {
  readonly output: string;
  readonly token: number;
  readonly pick: (rows: TokenRows) => FloatTensor;
}

/** The rows that a run of these layers leaves. @param probed layers, from 0 in the run, whose masses are measured */
function rowsOf(
  layers: readonly number[],
  probed: readonly number[],
  { tokens, form, taped, products }: Pick<DecodeLayersOptions, 'tokens' | 'form' | 'taped' | 'products'>,
): TakenRows[] {
  const last = layers.at(-1)!;
  return Array.from({ length: tokens }, (_, token): TakenRows[] => {
    const taken = (name: string, rowsIn: TakenRows['pick']): TakenRows => {
      const shaped = asOutput(form, name);
      return { output: `${token}.${name}`, token, pick: (rows) => shaped(rowsIn(rows)) };
    };
    const measured = probed.map((i) => taken(`masses.${i}`, (rows) => rows.masses.get(layers[i]!)!));
    if (!taped) return measured;
    return [
      ...layers.flatMap((layer, i) => {
        const ofProducts = (name: keyof LayerProducts): TakenRows =>
          taken(`${name}.${i}`, (rows) => rows.layers[layer]!.products![name]);
        return [
          // A later run is fed its first layer's input, which the run before it has written.
          ...(layer === 0 || i > 0 ? [taken(`x.${i}`, (rows) => rows.layers[layer]!.x)] : []),
          taken(`o.${i}`, (rows) => rows.layers[layer]!.o),
          ...(products ? PRODUCTS.map(ofProducts) : []),
        ];
      }),
      ...measured,
      taken('y', (rows) => rows.layers[last + 1]?.x ?? rows.hidden!),
    ];
  }).flat();
}

function isFor(known: Arrangement, { cache, sampling, probe, recording }: DecodeStepInputs): boolean {
  return known.cache === cache && known.sampling === sampling && known.probe === probe && known.recording === recording;
}

/** Names in the run that begins at layer `first`: `<layer of the run>.<name>`, the embeddings, and those of the head. */
const nameIn = (config: TextConfig, first: number): NameOf => {
  const ofHead = headName(config);
  return (param) => {
    if (param === '') return `decode run from layer ${first}`;
    if (param === 'embeddings') return EMBEDDING;
    const [, layer, name] = /^(\d+)\.(.*)$/.exec(param) ?? [];
    return layer === undefined ? ofHead(param) : layerTensor(first + Number(layer), name!);
  };
};

/** Adapters in the run that begins at layer `first`, by the names that `nameIn` translates. */
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

/** The weights of a step's products. */
function productNames({ before, after, joint }: DecoderBlock, config: TextConfig): string[] {
  const ofLayer = productWeights({ ...before, ...after }, joint);
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) =>
    ofLayer.map((name) => layerTensor(layer, name)),
  );
  return [...layers.flat(), headName(config)('head.weight')];
}

/** Elements of a layer's weights. */
const weightsOfLayer = (parameters: Parameters): number =>
  parameters.names
    .filter((name) => name.startsWith(layerTensor(0, '')))
    .reduce((sum, name) => sum + sizeOf(parameters.shape(name)), 0);

/** The layers cut into runs of nearly equal length. Weights that are read when they are used come layer by layer. */
function cutLayers(
  { numHiddenLayers }: TextConfig,
  parameters: Parameters,
  layerWeights: number,
  runBytes: number,
): { first: number; count: number }[] {
  const most = parameters.inMemory ? Math.max(1, Math.floor(runBytes / (4 * layerWeights))) : 1;
  return piecesOf(numHiddenLayers, most).map(({ start, end }) => ({ first: start, count: end - start }));
}
