/**
 * Binds the runs of a decode step to their tensors: weights, the cache, what is drawn, and the rows that a recording takes.
 * The binding stays valid while cache, settings, probe and recording stay the same.
 */
import type { TextConfig } from '../models/architecture.ts';
import { EMBEDDING, layerTensor } from '../models/names.ts';
import type { WeightForm } from '../nn/linear.ts';
import type { CompiledModule } from '../runtime/compiled_module.ts';
import { pin } from '../runtime/session.ts';
import { type FloatTensor, floats, halves, type IntTensor, ints, type Tensor, zeros } from '../runtime/tensor.ts';
import { type NameOf, type TensorOf, weightsOf } from './bindings.ts';
import { asOutput, type DecodeLayersOptions, factorName } from './decode_layers.ts';
import { type Drawn, type DrawSettings, drawnRows } from './drawn_tokens.ts';
import { halfPieces, pieceShape, pieceWords } from './half_pieces.ts';
import { headName } from './heads.ts';
import type { KvCache } from './kv_cache.ts';
import { type LayerProducts, PRODUCTS, tensorsOf } from './layer_tape.ts';
import type { Parameters, StoredWeight } from './parameters.ts';
import type { Recording, TokenRows } from './recording.ts';
import type { Piece } from './row_chunks.ts';
import type { WorkingMemory } from './working_memory.ts';

/** Attention masses to measure. */
export interface DecodeProbe {
  readonly layers: readonly number[];
  readonly spans: number;
  /** Which prompt columns of a cache's groups belong to a span: 1 or 0, [groups, prompt, spans]. */
  readonly indicatorOf: (cache: KvCache) => FloatTensor;
}

/** What runs are bound for. */
export interface RunTarget {
  readonly cache: KvCache;
  readonly settings: DrawSettings;
  readonly probe?: DecodeProbe | undefined;
  /** Keeps the rows that are computed, and the masses that are measured. */
  readonly recording: Recording | null;
}

/** What binding takes from the step that asks for it. */
export interface RunSource {
  readonly config: TextConfig;
  readonly parameters: Parameters;
  readonly memory: WorkingMemory;
  /** The layers, cut into runs. */
  readonly pieces: readonly Piece[];
  /** Form of the weights of all products, and where the tensors of that form are. */
  readonly form: WeightForm;
  readonly tensorOf: TensorOf;
  /** @param first the run's first layer */
  moduleOf(options: DecodeLayersOptions, first: number): CompiledModule;
  /** Weights of a layer that are not float32, by their names in it. */
  frozenOf(layer: number): Readonly<Record<string, StoredWeight>>;
}

/** The runs of a step, in order, and the tensors that every step fills anew. */
export interface BoundRuns extends RunTarget {
  /** int32 [places] */
  readonly ids: IntTensor;
  /** Penalties of tokens [places, vocab]; null without a penalty. */
  readonly penalty: FloatTensor | null;
  /** Ids that must not be drawn [places, vocab]; null if they are the same in all rows. */
  readonly bans: FloatTensor | null;
  /** Of each token that a step computes. */
  readonly tokens: readonly BoundToken[];
  readonly runs: readonly Run[];
}

export interface BoundToken {
  /** [places, d / 2] */
  readonly cos: FloatTensor;
  readonly sin: FloatTensor;
  /** [places] */
  readonly uniform: FloatTensor;
  /** Rows of the recording that the token's rows are put into: int32 [places]. */
  readonly places: IntTensor;
  readonly drawn: Drawn;
}

export interface Run {
  /** Its first layer. */
  readonly first: number;
  readonly module: CompiledModule;
  readonly feeds: Record<string, Tensor>;
  readonly into: Record<string, Tensor>;
  /** Outputs that a recording takes, and where it has them. */
  readonly taken: readonly TakenRows[];
}

/** An output that goes to a recording. */
export interface TakenRows {
  readonly output: string;
  /** Which of the step's tokens it belongs to. */
  readonly token: number;
  readonly pick: (rows: TokenRows) => Tensor;
}

export const isBoundFor = (bound: BoundRuns, { cache, settings, probe, recording }: RunTarget): boolean =>
  bound.cache === cache && bound.settings === settings && bound.probe === probe && bound.recording === recording;

export function bindRuns(source: RunSource, { cache, settings, probe, recording }: RunTarget): BoundRuns {
  const { config, parameters, memory, pieces, form, tensorOf, moduleOf, frozenOf } = source;
  const { hiddenSize, headDim, numHiddenLayers, vocabSize } = config;
  const places = cache.groups.length * cache.rows;
  const taped = recording !== null && recording.keeps !== 'masses';
  const products = recording?.keeps === 'products';
  // A device with memory of its own puts rows into a recording by way of copies, unless the graph does it.
  const recorded = taped && !memory.device.sharesMemory;
  const ids = pin(ints(new Int32Array(places), [places]));
  const penalty = settings.head.penalises === true ? pin(zeros(places, vocabSize)) : null;
  const bans = settings.head.bansByRow === true ? pin(zeros(places, vocabSize)) : null;
  const tokens = cache.next.map((next, t) => ({
    cos: pin(zeros(places, headDim / 2)),
    sin: pin(zeros(places, headDim / 2)),
    uniform: pin(zeros(places)),
    places: pin(ints(new Int32Array(places), [places])),
    drawn: drawnRows(memory, `drawn.${t}`, places, settings.head, vocabSize),
    ...next,
  }));
  const ofAllRuns: Record<string, Tensor> = {
    ...(probe === undefined ? {} : { indicator: pin(probe.indicatorOf(cache)) }),
  };
  for (const [t, { cos, sin, unseen, slots, places }] of tokens.entries())
    for (const [name, tensor] of Object.entries({ cos, sin, unseen, slots, places }))
      ofAllRuns[`${t}.${name}`] = tensor;

  const runs = pieces.map(({ start: first, end }): Run => {
    const layers = Array.from({ length: end - first }, (_, i) => first + i);
    const probed = layers.flatMap((layer, i) => (probe?.layers.includes(layer) ? [i] : []));
    const isLast = end === numHiddenLayers;
    const options: DecodeLayersOptions = {
      count: layers.length,
      tokens: tokens.length,
      form,
      embeds: first === 0,
      sampling: isLast ? settings.head : null,
      taped,
      products,
      recorded,
      probed,
      spans: probed.length === 0 ? 0 : probe!.spans,
    };
    const module = moduleOf(options, first);
    const weights = parameters.inMemory ? weightsOf(module, parameters, nameInRun(config, first), tensorOf) : {};
    const words = Object.fromEntries(layers.flatMap((layer, i) => halfFeeds(frozenOf(layer), `${i}.`)));
    const feeds: Record<string, Tensor> = { ...weights, ...words, ...ofAllRuns };
    const into: Record<string, Tensor> = {};
    if (first === 0) feeds.ids = ids;
    if (isLast) {
      const { inverseTemperature } = settings;
      const banned = bans ?? settings.banned;
      Object.assign(feeds, { banned, inverseTemperature, ...(penalty === null ? {} : { penalty }) });
      for (const [t, { uniform, drawn }] of tokens.entries()) {
        feeds[`${t}.uniform`] = uniform;
        for (const [name, tensor] of Object.entries(drawn)) into[`${t}.${name}`] = tensor;
      }
    } else if (!taped) {
      const y = memory.workspace.get(`decode.y.${first}`, places, hiddenSize);
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
      // Outputs are the cache's own memory: keys and values of each token are put into it.
      for (const t of tokens.keys()) Object.assign(into, { [`${t}.kOwn.${i}`]: kOwn, [`${t}.vOwn.${i}`]: vOwn });
    }
    for (const [i, layer] of recorded ? layers.entries() : [])
      for (const [name, tensor] of tensorsOf(recording!.layers[layer]!)) {
        if (name === 'x' && layer > 0 && i === 0) continue; // the output of the run before
        feeds[`recorded.${name}.${i}`] = tensor;
        for (const t of tokens.keys()) into[`${t}.${name}.${i}`] = tensor;
      }
    const taken = recording === null ? [] : takenRows(layers, probed, options);
    return { first, module, feeds, into, taken };
  });
  return { cache, settings, probe, recording, ids, penalty, bans, tokens, runs };
}

/** Names in the run that begins at layer `first`: `<layer of the run>.<name>`, the embeddings, and those of the head. */
export const nameInRun = (config: TextConfig, first: number): NameOf => {
  const ofHead = headName(config);
  return (param) => {
    if (param === '') return `decode run from layer ${first}`;
    if (param === 'embeddings') return EMBEDDING;
    const [, layer, name] = /^(\d+)\.(.*)$/.exec(param) ?? [];
    return layer === undefined ? ofHead(param) : layerTensor(first + Number(layer), name!);
  };
};

// --- internal ---

/** What `decodeLayers` is fed of weights that are float16 words. */
const halfFeeds = (frozen: Readonly<Record<string, StoredWeight>>, prefix: string): [string, Tensor][] =>
  Object.entries(frozen).flatMap(([name, stored]): [string, Tensor][] =>
    stored.kind !== 'half'
      ? []
      : [
          ...halfPieces(stored).map((piece, i): [string, Tensor] => [
            `${prefix}${name}.${i}`,
            pin(halves(pieceWords(stored, piece), pieceShape(stored, piece))),
          ]),
          [factorName(`${prefix}${name}`), pin(floats(Float32Array.of(2 ** -stored.shift), []))],
        ],
  );

/**
 * The rows that a run of these layers leaves for a recording, besides those that it puts there itself.
 *
 * @param probed layers whose masses are measured, counted from 0 in the run
 */
function takenRows(
  layers: readonly number[],
  probed: readonly number[],
  { tokens, form, taped, products, recorded }: DecodeLayersOptions,
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
      ...(recorded ? [] : [...layers.entries()]).flatMap(([i, layer]) => {
        const ofProducts = (name: keyof LayerProducts): TakenRows =>
          taken(`${name}.${i}`, (rows) => rows.layers[layer]!.products![name]);
        return [
          // The input of a later run's first layer is the output of the run before it, which has written it.
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
