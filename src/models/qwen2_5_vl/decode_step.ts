/**
 * Computes one token of every live completion: all decoder layers, in as few runs as keep the event loop alive.
 * Reads and fills the cache; does not sample.
 */
import { type CompiledModule, createModuleCache } from '../../runtime/compiled_module.ts';
import { pin, type RuntimeOptions } from '../../runtime/session.ts';
import { type FloatTensor, gatherRows, ints, sizeOf, type Tensor } from '../../runtime/tensor.ts';
import type { Workspace } from '../../runtime/workspace.ts';
import { readWeightsOf, weightsOf } from './bindings.ts';
import type { TextConfig } from './config.ts';
import { type DecodeLayersOptions, decodeLayers } from './decode_layers.ts';
import { appendToken, type KvCache, unseenOwn, unseenPrompt } from './kv_cache.ts';
import { createLayerTape, type LayerTape } from './layer_tape.ts';
import type { Parameters } from './parameters.ts';
import { piecesOf } from './pieces.ts';
import { textAngles } from './text_decoder.ts';

export interface DecodeStepInputs {
  /** The last id of each live completion. */
  readonly ids: Int32Array;
  /** Rotary position of each of those ids, the same on all three axes. */
  readonly positions: readonly number[];
  /** Where each row stands in the cache. */
  readonly places: Int32Array;
  readonly cache: KvCache;
  /** Tokens the cache holds of each completion. */
  readonly length: number;
  readonly probe?: DecodeProbe;
  /** Who takes each layer's rows and masses; they are overwritten by the next step. */
  readonly recorder?: {
    /** With results of products. */
    readonly products: boolean;
    readonly onLayer: (layer: number, rows: LayerTape, masses: FloatTensor | null) => void;
  };
}

/** Attention masses to measure. */
export interface DecodeProbe {
  readonly layers: readonly number[];
  readonly spans: number;
  /** Which prompt columns belong to a span, of a cache's groups: [groups, prompt, spans] */
  readonly indicatorOf: (cache: KvCache) => FloatTensor;
}

export interface DecodeStep {
  /** Output of the last layer [N, hidden]; the cache holds one token more. */
  run(inputs: DecodeStepInputs): Promise<FloatTensor>;
  release(): Promise<void>;
}

/** Up to this many rows the weights are streamed from the left (measured: see docs/log.md). */
export const FEW_ROWS = 32;

/** Weights of one run: some 20 ms of streaming, in which nothing else happens. */
const RUN_BYTES = 512 * 2 ** 20;

export function createDecodeStep(
  config: TextConfig,
  parameters: Parameters,
  workspace: Workspace,
  runtime: RuntimeOptions = {},
): DecodeStep {
  const { hiddenSize, numKeyValueHeads, headDim } = config;
  const keyWidth = numKeyValueHeads * headDim;
  const layerRuns = cutLayers(config, parameters);
  const modules = createModuleCache(runtime);
  const moduleOf = (options: DecodeLayersOptions): CompiledModule =>
    modules.get(JSON.stringify(options), () => decodeLayers(config, options));

  /** Everything that stays the same while the same rows stand at the same places. */
  function arrange({ places, cache, probe, recorder }: DecodeStepInputs): Arrangement {
    const rows = places.length;
    const placeCount = cache.groups.length * cache.rows;
    const products = recorder?.products ?? false;
    const buffer = (name: string, count: number, width: number): FloatTensor =>
      pin(workspace.get(`decode.${name}`, count, width));
    const place = new Int32Array(placeCount);
    for (const [row, at] of places.entries()) place[at] = row;
    const standing = {
      place: pin(ints(place, [placeCount])),
      row: pin(ints(places, [rows])),
      unseenPrompt: pin(unseenPrompt(cache)),
      ...(probe === undefined ? {} : { indicator: pin(probe.indicatorOf(cache)) }),
    };
    const embeddings = buffer('x', rows, hiddenSize);
    let x = embeddings;
    const runs: Run[] = [];
    for (const { first, count } of layerRuns) {
      const layers = Array.from({ length: count }, (_, i) => first + i);
      const probed = layers.flatMap((layer, i) => (probe?.layers.includes(layer) ? [i] : []));
      const spans = probed.length === 0 ? 0 : probe!.spans;
      const module = moduleOf({ count, fewRows: rows <= FEW_ROWS, probed, spans, products });
      const input = x;
      x = buffer(`y.${first}`, rows, hiddenSize);
      const weights = parameters.inMemory ? weightsOf(module, parameters, runName(first)) : {};
      const feeds: Record<string, Tensor> = { ...weights, ...standing, x: input };
      const into: Record<string, FloatTensor> = { y: x };
      const steps = layers.map((layer, i): LayerStep => {
        const tape = createLayerTape(
          config,
          (name, width) => (name === 'x' && i === 0 ? input : buffer(`${layer}.${name}`, rows, width)),
          products,
        );
        const k = buffer(`${layer}.k by place`, placeCount, keyWidth);
        const v = buffer(`${layer}.v by place`, placeCount, keyWidth);
        const masses = probed.includes(i) ? buffer(`${layer}.masses`, rows, spans) : null;
        for (const [name, tensor] of Object.entries(cache.layers[layer]!)) feeds[`${name}.${i}`] = tensor;
        Object.assign(into, { [`k.${i}`]: k, [`v.${i}`]: v, [`o.${i}`]: tape.o });
        if (i > 0) into[`x.${i}`] = tape.x;
        if (masses !== null) into[`masses.${i}`] = masses;
        for (const [name, tensor] of Object.entries(tape.products ?? {})) into[`products.${i}.${name}`] = tensor;
        return { layer, tape, k, v, masses };
      });
      runs.push({ first, module, feeds, into, steps });
    }
    return { places, cache, probe, products, embeddings, runs, hidden: x };
  }

  let arrangement: Arrangement | null = null;

  return {
    async run(inputs) {
      const { ids, positions, places, cache, length, recorder } = inputs;
      if (arrangement === null || !isFor(arrangement, inputs)) arrangement = arrange(inputs);
      const { embeddings, runs, hidden } = arrangement;
      gatherRows(parameters.value('model.embed_tokens.weight'), ids, embeddings);
      const placeCount = cache.groups.length * cache.rows;
      const placePositions = new Int32Array(3 * placeCount);
      for (const [row, at] of places.entries())
        for (let axis = 0; axis < 3; axis++) placePositions[axis * placeCount + at] = positions[row]!;
      const { cos, sin } = textAngles(config, { rows: placeCount, positions: placePositions });
      const changing = { cos, sin, unseenOwn: unseenOwn(cache, length) };
      for (const { first, module, feeds, into, steps } of runs) {
        // Weights in memory are bound already; others are read when they are used.
        if (!parameters.inMemory) Object.assign(feeds, await readWeightsOf(module, parameters, runName(first)));
        await module.forward(Object.assign(feeds, changing), into);
        for (const { layer, tape, k, v, masses } of steps) {
          appendToken(cache, layer, length, places, { k, v });
          recorder?.onLayer(layer, tape, masses);
        }
      }
      return hidden;
    },

    release: () => modules.release(),
  };
}

// --- internal ---

/** The runs of a step for certain rows at certain places, bound to their tensors. */
interface Arrangement extends Pick<DecodeStepInputs, 'places' | 'cache' | 'probe'> {
  readonly products: boolean;
  readonly embeddings: FloatTensor;
  readonly runs: readonly Run[];
  readonly hidden: FloatTensor;
}

interface Run {
  /** Its first layer. */
  readonly first: number;
  readonly module: CompiledModule;
  /** What changes with every token is put in before each run. */
  readonly feeds: Record<string, Tensor>;
  readonly into: Readonly<Record<string, FloatTensor>>;
  readonly steps: readonly LayerStep[];
}

/** What a layer leaves. */
interface LayerStep {
  readonly layer: number;
  readonly tape: LayerTape;
  /** [places, kvHeads * d] */
  readonly k: FloatTensor;
  readonly v: FloatTensor;
  readonly masses: FloatTensor | null;
}

function isFor(known: Arrangement, { places, cache, probe, recorder }: DecodeStepInputs): boolean {
  return (
    known.cache === cache &&
    known.probe === probe &&
    known.products === (recorder?.products ?? false) &&
    known.places.length === places.length &&
    known.places.every((place, row) => place === places[row])
  );
}

/** A module's parameter `<layer of the run>.<name>`, in the run that begins at layer `first`. */
const runName =
  (first: number) =>
  (param: string): string =>
    param === ''
      ? `decode run from layer ${first}`
      : param.replace(/^(\d+)\./, (_, layer) => `model.layers.${first + Number(layer)}.`);

/** The layers cut into runs of nearly equal length. Weights that are read when they are used come layer by layer. */
function cutLayers({ numHiddenLayers }: TextConfig, parameters: Parameters): { first: number; count: number }[] {
  const layerBytes = parameters.names
    .filter((name) => name.startsWith('model.layers.0.'))
    .reduce((sum, name) => sum + 4 * sizeOf(parameters.shape(name)), 0);
  const most = parameters.inMemory ? Math.max(1, Math.floor(RUN_BYTES / layerBytes)) : 1;
  return piecesOf(numHiddenLayers, most).map(({ start, end }) => ({ first: start, count: end - start }));
}
