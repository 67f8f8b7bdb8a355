/**
 * Computes one token of every completion: all decoder layers and the draw of the next token, in as few runs as keep the
 * event loop alive. Reads and fills the cache. Everything goes by place; at a place where no completion stands, anything
 * may be fed, and what comes out means nothing.
 */
import { type CompiledModule, createModuleCache } from '../../runtime/compiled_module.ts';
import { pin, type RuntimeOptions } from '../../runtime/session.ts';
import { type FloatTensor, floats, gatherRows, sizeOf, type Tensor } from '../../runtime/tensor.ts';
import type { Workspace } from '../../runtime/workspace.ts';
import { type NameOf, readWeightsOf, weightsOf } from './bindings.ts';
import type { TextConfig } from './config.ts';
import { type DecodeLayersOptions, decodeLayers } from './decode_layers.ts';
import { type KvCache, openToken } from './kv_cache.ts';
import { createLayerTape, type LayerTape } from './layer_tape.ts';
import type { Parameters } from './parameters.ts';
import { piecesOf } from './pieces.ts';
import type { SamplingHead } from './sampling.ts';
import { headName } from './scoring.ts';
import { textAngles } from './text_decoder.ts';

export interface DecodeStepInputs {
  /** The last id of each completion, its rotary position (the same on all three axes), and a number in [0, 1) to draw with. */
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  readonly uniform: Float32Array;
  readonly cache: KvCache;
  /** Tokens the cache holds of each completion. */
  readonly length: number;
  readonly sampling: Sampling;
  readonly probe?: DecodeProbe;
  /** Who takes each layer's rows and masses; they are overwritten by the next step. */
  readonly recorder?: {
    /** With results of products. */
    readonly products: boolean;
    readonly onLayer: (layer: number, rows: LayerTape, masses: FloatTensor | null) => void;
  };
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

export interface DecodeStep {
  /** Output of the last layer [places, hidden], and the next tokens; the cache holds one token more. */
  run(inputs: DecodeStepInputs): Promise<{ hidden: FloatTensor; drawn: Drawn }>;
  release(): Promise<void>;
}

/** Up to this many rows the weights are streamed from the left (measured: see docs/log.md). */
export const FEW_ROWS = 32;

/** Weights of one run's layers: some 20 ms of streaming, in which nothing else happens. The last has the head as well. */
const RUN_BYTES = 512 * 2 ** 20;

/** Room for what a sampling head returns of so many rows. */
export function drawnRows(workspace: Workspace, rows: number, { logps }: SamplingHead, vocabSize: number): Drawn {
  const buffer = (name: string, width: number): FloatTensor => pin(workspace.get(`drawn.${name}`, rows, width));
  return {
    id: buffer('id', 1),
    logp: buffer('logp', 1),
    entropy: buffer('entropy', 1),
    ...(logps ? { logps: buffer('logps', vocabSize) } : {}),
  };
}

export function createDecodeStep(
  config: TextConfig,
  parameters: Parameters,
  workspace: Workspace,
  runtime: RuntimeOptions = {},
): DecodeStep {
  const { hiddenSize, headDim, numHiddenLayers, vocabSize } = config;
  const layerRuns = cutLayers(config, parameters);
  const modules = createModuleCache(runtime);
  const moduleOf = (options: DecodeLayersOptions): CompiledModule =>
    modules.get(JSON.stringify(options), () => decodeLayers(config, options));

  /** Everything that stays the same while the cache does. */
  function arrange({ cache, sampling, probe, recorder }: DecodeStepInputs): Arrangement {
    const places = cache.groups.length * cache.rows;
    const products = recorder?.products ?? false;
    const buffer = (name: string, width: number): FloatTensor => pin(workspace.get(`decode.${name}`, places, width));
    const embeddings = buffer('x', hiddenSize);
    const angles = { cos: buffer('cos', headDim / 2), sin: buffer('sin', headDim / 2) };
    const uniform = pin(floats(new Float32Array(places), [places]));
    const standing: Record<string, Tensor> = {
      ...angles,
      unseen: cache.unseen,
      slots: cache.slots,
      ...(probe === undefined ? {} : { indicator: pin(probe.indicatorOf(cache)) }),
    };
    const drawn = drawnRows(workspace, places, sampling.head, vocabSize);
    let x = embeddings;
    const runs: Run[] = [];
    for (const { first, count } of layerRuns) {
      const layers = Array.from({ length: count }, (_, i) => first + i);
      const probed = layers.flatMap((layer, i) => (probe?.layers.includes(layer) ? [i] : []));
      const spans = probed.length === 0 ? 0 : probe!.spans;
      const isLast = first + count === numHiddenLayers;
      const module = moduleOf({
        count,
        fewRows: places <= FEW_ROWS,
        probed,
        spans,
        products,
        sampling: isLast ? sampling.head : null,
      });
      const input = x;
      x = buffer(`y.${first}`, hiddenSize);
      const weights = parameters.inMemory ? weightsOf(module, parameters, nameIn(config, first)) : {};
      const feeds: Record<string, Tensor> = { ...weights, ...standing, x: input };
      const into: Record<string, FloatTensor> = { y: x };
      if (isLast) {
        const { banned, inverseTemperature } = sampling;
        Object.assign(feeds, { banned, inverseTemperature, uniform });
        Object.assign(into, drawn);
      }
      const taken = layers.map((layer, i): LayerRows => {
        const tape = createLayerTape(
          config,
          (name, width) => (name === 'x' && i === 0 ? input : buffer(`${layer}.${name}`, width)),
          products,
        );
        const masses = probed.includes(i) ? buffer(`${layer}.masses`, spans) : null;
        const { kPrompt, vPrompt, kOwn, vOwn } = cache.layers[layer]!;
        Object.assign(feeds, {
          [`kPrompt.${i}`]: kPrompt,
          [`vPrompt.${i}`]: vPrompt,
          [`kOwn.${i}`]: kOwn,
          [`vOwn.${i}`]: vOwn,
        });
        // The cache's own memory: the step's keys and values are put into it.
        Object.assign(into, { [`k.${i}`]: kOwn, [`v.${i}`]: vOwn, [`o.${i}`]: tape.o });
        if (i > 0) into[`x.${i}`] = tape.x;
        if (masses !== null) into[`masses.${i}`] = masses;
        for (const [name, tensor] of Object.entries(tape.products ?? {})) into[`products.${i}.${name}`] = tensor;
        return { layer, tape, masses };
      });
      runs.push({ first, module, feeds, into, layers: taken });
    }
    return { cache, sampling, probe, products, embeddings, angles, uniform, runs, hidden: x, drawn };
  }

  let arrangement: Arrangement | null = null;

  return {
    async run(inputs) {
      const { ids, positions, cache, length, recorder } = inputs;
      if (arrangement === null || !isFor(arrangement, inputs)) arrangement = arrange(inputs);
      const { embeddings, angles, uniform, runs, hidden, drawn } = arrangement;
      gatherRows(parameters.value('model.embed_tokens.weight'), ids, embeddings);
      const rows = ids.length;
      const { cos, sin } = textAngles(config, { rows, positions: threefold(positions) });
      angles.cos.data.set(cos.data);
      angles.sin.data.set(sin.data);
      uniform.data.set(inputs.uniform);
      openToken(cache, length);
      for (const { first, module, feeds, into, layers } of runs) {
        // Weights in memory are bound already; others are read when they are used.
        if (!parameters.inMemory) Object.assign(feeds, await readWeightsOf(module, parameters, nameIn(config, first)));
        await module.forward(feeds, into);
        for (const { layer, tape, masses } of layers) recorder?.onLayer(layer, tape, masses);
      }
      return { hidden, drawn };
    },

    release: () => modules.release(),
  };
}

// --- internal ---

/** The runs of a step for a cache, bound to their tensors. */
interface Arrangement extends Pick<DecodeStepInputs, 'cache' | 'sampling' | 'probe'> {
  readonly products: boolean;
  readonly embeddings: FloatTensor;
  readonly angles: { readonly cos: FloatTensor; readonly sin: FloatTensor };
  readonly uniform: FloatTensor;
  readonly runs: readonly Run[];
  readonly hidden: FloatTensor;
  readonly drawn: Drawn;
}

interface Run {
  /** Its first layer. */
  readonly first: number;
  readonly module: CompiledModule;
  readonly feeds: Record<string, Tensor>;
  readonly into: Readonly<Record<string, FloatTensor>>;
  readonly layers: readonly LayerRows[];
}

/** What a layer leaves for a recorder. */
interface LayerRows {
  readonly layer: number;
  readonly tape: LayerTape;
  readonly masses: FloatTensor | null;
}

function isFor(known: Arrangement, { cache, sampling, probe, recorder }: DecodeStepInputs): boolean {
  return (
    known.cache === cache &&
    known.sampling === sampling &&
    known.probe === probe &&
    known.products === (recorder?.products ?? false)
  );
}

/** Positions [3, rows] that are the same on all axes. */
function threefold(positions: Int32Array): Int32Array {
  const axes = new Int32Array(3 * positions.length);
  for (let axis = 0; axis < 3; axis++) axes.set(positions, axis * positions.length);
  return axes;
}

/** Names in the run that begins at layer `first`: `<layer of the run>.<name>`, and those of the sampling head. */
const nameIn = (config: TextConfig, first: number): NameOf => {
  const ofHead = headName(config);
  return (param) => {
    if (param === '') return `decode run from layer ${first}`;
    const [, layer, name] = /^(\d+)\.(.*)$/.exec(param) ?? [];
    return layer === undefined ? ofHead(param) : `model.layers.${first + Number(layer)}.${name}`;
  };
};

/** The layers cut into runs of nearly equal length. Weights that are read when they are used come layer by layer. */
function cutLayers({ numHiddenLayers }: TextConfig, parameters: Parameters): { first: number; count: number }[] {
  const layerBytes = parameters.names
    .filter((name) => name.startsWith('model.layers.0.'))
    .reduce((sum, name) => sum + 4 * sizeOf(parameters.shape(name)), 0);
  const most = parameters.inMemory ? Math.max(1, Math.floor(RUN_BYTES / layerBytes)) : 1;
  return piecesOf(numHiddenLayers, most).map(({ start, end }) => ({ first: start, count: end - start }));
}
