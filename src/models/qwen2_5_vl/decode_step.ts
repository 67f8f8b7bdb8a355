/**
 * Computes one token of every live completion: all decoder layers, in as few runs as keep the event loop alive.
 * Reads and fills the cache; does not sample.
 */
import { type CompiledModule, compileModule } from '../../runtime/compiled_module.ts';
import type { RuntimeOptions } from '../../runtime/session.ts';
import { type FloatTensor, ints, sizeOf, type Tensor } from '../../runtime/tensor.ts';
import type { Workspace } from '../../runtime/workspace.ts';
import { readWeightsOf } from './bindings.ts';
import type { TextConfig } from './config.ts';
import { type DecodeLayersOptions, decodeLayers } from './decode_layers.ts';
import { appendToken, type KvCache, unseenOwn, unseenPrompt } from './kv_cache.ts';
import { createLayerTape, type LayerTape } from './layer_tape.ts';
import type { Parameters } from './parameters.ts';
import { textAngles } from './text_decoder.ts';

export interface DecodeStepInputs {
  /** Embeddings of the last ids: [N, hidden] */
  readonly x: FloatTensor;
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
  /** Of the cache's groups: [groups, prompt, spans] */
  readonly indicator: FloatTensor;
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
  const runs = layerRuns(config, parameters);
  const modules = new Map<string, CompiledModule>();
  const moduleOf = (options: DecodeLayersOptions): CompiledModule => {
    const key = JSON.stringify(options);
    const known = modules.get(key) ?? compileModule(decodeLayers(config, options), {}, runtime);
    modules.set(key, known);
    return known;
  };

  return {
    async run({ x: embeddings, positions, places, cache, length, probe, recorder }) {
      const products = recorder?.products ?? false;
      const rows = places.length;
      const placeCount = cache.groups.length * cache.rows;
      const place = new Int32Array(placeCount);
      const placePositions = new Int32Array(3 * placeCount);
      for (const [row, at] of places.entries()) {
        place[at] = row;
        for (let axis = 0; axis < 3; axis++) placePositions[axis * placeCount + at] = positions[row]!;
      }
      const common: Record<string, Tensor> = {
        ...textAngles(config, { rows: placeCount, positions: placePositions }),
        place: ints(place, [placeCount]),
        row: ints(places, [rows]),
        unseenPrompt: unseenPrompt(cache),
        unseenOwn: unseenOwn(cache, length),
      };
      let x = embeddings;
      for (const { first, count } of runs) {
        const layers = Array.from({ length: count }, (_, i) => first + i);
        const probed = layers.flatMap((layer, i) => (probe?.layers.includes(layer) ? [i] : []));
        const spans = probed.length === 0 ? 0 : probe!.spans;
        const module = moduleOf({ count, fewRows: rows <= FEW_ROWS, probed, spans, products });
        const feeds: Record<string, Tensor> = {
          ...(await readWeightsOf(module, parameters, runName(first))),
          ...common,
          x,
        };
        if (spans > 0) feeds.indicator = probe!.indicator;
        const y = workspace.get(`decode.y.${first}`, rows, hiddenSize);
        const into: Record<string, FloatTensor> = { y };
        const tapes = layers.map((layer) =>
          createLayerTape(
            config,
            (name, width) =>
              name === 'x' && layer === first ? x : workspace.get(`decode.${layer}.${name}`, rows, width),
            products,
          ),
        );
        for (const [i, layer] of layers.entries()) {
          const tape = tapes[i]!;
          for (const [name, tensor] of Object.entries(cache.layers[layer]!)) feeds[`${name}.${i}`] = tensor;
          into[`k.${i}`] = workspace.get(`decode.${layer}.k by place`, placeCount, keyWidth);
          into[`v.${i}`] = workspace.get(`decode.${layer}.v by place`, placeCount, keyWidth);
          into[`o.${i}`] = tape.o;
          if (i > 0) into[`x.${i}`] = tape.x;
          if (probed.includes(i)) into[`masses.${i}`] = workspace.get(`decode.${layer}.masses`, rows, spans);
          for (const [name, tensor] of Object.entries(tape.products ?? {})) into[`products.${i}.${name}`] = tensor;
        }
        await module.forward(feeds, into);
        for (const [i, layer] of layers.entries()) {
          appendToken(cache, layer, length, places, { k: into[`k.${i}`]!, v: into[`v.${i}`]! });
          recorder?.onLayer(layer, tapes[i]!, into[`masses.${i}`] ?? null);
        }
        x = y;
      }
      return x;
    },

    async release() {
      for (const module of modules.values()) await module.release();
      modules.clear();
    },
  };
}

// --- internal ---

/** A module's parameter `<layer of the run>.<name>`, in the run that begins at layer `first`. */
const runName =
  (first: number) =>
  (param: string): string =>
    param === ''
      ? `decode run from layer ${first}`
      : param.replace(/^(\d+)\./, (_, layer) => `model.layers.${first + Number(layer)}.`);

/** The layers cut into runs of nearly equal length. Weights that are read when they are used come layer by layer. */
function layerRuns({ numHiddenLayers }: TextConfig, parameters: Parameters): { first: number; count: number }[] {
  const layerBytes = parameters.names
    .filter((name) => name.startsWith('model.layers.0.'))
    .reduce((sum, name) => sum + 4 * sizeOf(parameters.shape(name)), 0);
  const most = parameters.inMemory ? Math.max(1, Math.floor(RUN_BYTES / layerBytes)) : 1;
  const runCount = Math.ceil(numHiddenLayers / most);
  return Array.from({ length: runCount }, (_, i) => {
    const first = Math.ceil((i * numHiddenLayers) / runCount);
    return { first, count: Math.ceil(((i + 1) * numHiddenLayers) / runCount) - first };
  });
}
