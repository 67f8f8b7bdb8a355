/**
 * A run of decoder layers as one module, for the next tokens of every completion. One call of the runtime computes all
 * layers for several tokens or, for a large model, some layers for one token. It puts keys and values into the cache, and
 * the run with the last layer draws the token.
 */
import { QUANT_BLOCK } from '../checkpoint/quantised.ts';
import type { Constant, Module } from '../graph/module.ts';
import { blocksToRows, rowsToBlocks } from '../graph/ops/blocked.ts';
import { toInt } from '../graph/ops/elementwise.ts';
import { putRowsAt, putSlices } from '../graph/ops/gather.ts';
import { reshape } from '../graph/ops/movement.ts';
import { takeRowsByPieces } from '../graph/ops/pieces.ts';
import type { Shape } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import type { DecoderBlock, TextConfig } from '../models/architecture.ts';
import { blockOps, blockParams } from '../nn/block_ops.ts';
import { decodeAttention } from '../nn/decode_attention.ts';
import { type FrozenMatrix, rowsShape, type WeightForm } from '../nn/linear.ts';
import { here } from '../runtime/device.ts';
import { resized, type Tensor } from '../runtime/tensor.ts';
import { halfPieces, pieceShape } from './half_pieces.ts';
import { tapeWidths } from './layer_tape.ts';
import type { StoredWeight } from './parameters.ts';
import type { ResidentForm } from './resident_form.ts';
import { type SamplingHead, samplingHead } from './sampling.ts';

export interface DecodeLayersOptions {
  readonly count: number;
  /** Tokens to compute for each completion. More than one take a run of all layers: each is drawn from the one before. */
  readonly tokens: number;
  /** Form of the weights of all products. */
  readonly form: WeightForm;
  /** Start from ids and look up their embeddings, instead of starting from rows. */
  readonly embeds: boolean;
  /** Draw a token from the last layer's rows; null: return the rows. */
  readonly sampling: SamplingHead | null;
  /** Return the rows that backward starts from; with `products` results of products as well. */
  readonly taped: boolean;
  readonly products: boolean;
  /** Put the rows of layers into the tensors of a recording, and return those, instead of the rows. */
  readonly recorded: boolean;
  /** Layers whose attention masses are measured, counted from 0 in this run, and the number of spans. */
  readonly probed: readonly number[];
  readonly spans: number;
}

/**
 * Rows are in the order of the cache's places: G groups of R rows. Places without a completion are computed too.
 *
 * Inputs: x [G*R, hidden], or ids int32 [G*R]. For each token t: `t.cos`, `t.sin` [G*R, d / 2], `t.unseen` [G, P + T], and
 * `t.slots` int32 [G*R*kvHeads, 4], the places of its keys and values.
 *
 * Outputs, for each token t and layer i:
 * - `t.kOwn.i`, `t.vOwn.i` [G, kvHeads, R, T, d]: the cache's own tokens with this one put in
 * - `t.masses.i` [G*R, spans], of a probed layer
 * - `0.y` [G*R, hidden], unless a token is drawn from it
 * - with sampling, what the sampling head returns: `t.id` and so on
 * - taped: `t.x.i` [G*R, hidden], a layer's input unless it is the module's; `t.o.i` [G*R, heads * d]; `t.y`; with products
 *   also every name of `LayerProducts`, as `t.q.i`
 * - recorded: `t.x.i` and so on are a recording's tensors [M, ·], which are inputs `recorded.x.i`, with the rows put in where `t.places`
 *   int32 [G*R] says
 *
 * With weights in blocks, rows have axes of one in front on both sides: `rowsShape`, `asOutput`.
 *
 * @param frozen weights that are not float32, of each layer by name; pieces of float16 words (half_pieces.ts) are fed as
 *   constants `<name>.<number of the piece>`, with their factor (`factorName`)
 * @param resident forms of weights that a device keeps, of each layer by name; they are among the forms of the module that is
 *   compiled
 */
export function decodeLayers(
  decoder: DecoderBlock,
  config: TextConfig,
  options: DecodeLayersOptions,
  frozen: readonly Readonly<Record<string, StoredWeight>>[] = [],
  resident: readonly Readonly<Record<string, ResidentForm>>[] = [],
): Module {
  const { count, tokens, form, embeds, sampling, taped, products, recorded, probed, spans } = options;
  if (tokens > 1 && !(embeds && sampling !== null))
    throw new Error('internal: several tokens in a run that does not go from ids to ids');
  const { hiddenSize, vocabSize, numAttentionHeads, numKeyValueHeads: kvHeads, headDim } = config;
  const heads = { heads: numAttentionHeads, kvHeads, headDim };
  const queryWidth = numAttentionHeads * headDim;
  const ofLayer = blockParams({ ...decoder.before, ...decoder.after }, decoder.joint, form);
  const inBlocks = form === 'blocks';
  const head = sampling === null ? null : samplingHead(config, sampling, form, 'G*R');
  const { uniform, ...standing } = head?.constants ?? {};

  const params: Record<string, Shape> = { ...(embeds ? { embeddings: [vocabSize, hiddenSize] } : {}), ...head?.params };
  const constants: Record<string, Constant> = {
    ...standing,
    ...(embeds ? { ids: { shape: ['G*R'], dtype: 'int32' } } : {}),
    ...(probed.length === 0 ? {} : { indicator: { shape: ['G', 'P', spans] } }),
  };
  for (let token = 0; token < tokens; token++) {
    const ofToken: Record<string, Constant> = {
      cos: { shape: ['G*R', headDim / 2] },
      sin: { shape: ['G*R', headDim / 2] },
      slots: { shape: [`${kvHeads}*G*R`, 4], dtype: 'int32' },
      unseen: { shape: ['G', 'P+T'] },
      ...(uniform === undefined ? {} : { uniform }),
      ...(recorded ? { places: { shape: ['G*R'], dtype: 'int32' } } : {}),
    };
    for (const [name, constant] of Object.entries(ofToken)) constants[`${token}.${name}`] = constant;
  }
  for (let layer = 0; layer < count; layer++) {
    for (const [name, shape] of Object.entries(ofLayer)) {
      const stored = frozen[layer]?.[name];
      const full = `${layer}.${name}`;
      if (stored === undefined) params[full] = shape;
      else if (stored.kind === 'half') {
        for (const [i, piece] of halfPieces(stored).entries())
          constants[`${full}.${i}`] = { shape: pieceShape(stored, piece), dtype: 'float16' };
        constants[factorName(full)] = { shape: [] };
      }
    }
    for (const [name, width] of Object.entries(recorded ? tapeWidths(config, products) : {}))
      if (name !== 'x' || layer > 0 || embeds) constants[`recorded.${name}.${layer}`] = { shape: ['M', width] };
    for (const name of ['kPrompt', 'vPrompt']) constants[`${name}.${layer}`] = { shape: ['G', kvHeads, 'P', headDim] };
    for (const name of ['kOwn', 'vOwn']) constants[`${name}.${layer}`] = { shape: ['G', kvHeads, 'R', 'T', headDim] };
  }

  return {
    name: tokens === 1 ? `${count} decode layers` : `${count} decode layers, ${tokens} tokens`,
    params,
    inputs: embeds ? {} : { x: rowsShape(form, 'G*R', hiddenSize) },
    constants,
    build: (w): Record<string, Value> => {
      const outputs: Record<string, Value> = {};
      const own = Array.from({ length: count }, (_, layer) => ({ k: w[`kOwn.${layer}`]!, v: w[`vOwn.${layer}`]! }));
      const recordings = { ...w };

      /** Layer `layer` of a token on the stream x, which is rows or blocks. Records the layer's outputs by name. */
      const block = (x: Value, layer: number, token: number): Value => {
        const of = (name: string): Value => w[`${token}.${name}`]!;
        const ops = blockOps(form, below(w, `${layer}.`), 'G*R', frozenLayers(layer, w));
        const tell = (name: string, value: Value): void => {
          outputs[`${token}.${name}.${layer}`] = value;
        };
        const keep = (name: string, rows: Value): void => {
          const full = `recorded.${name}.${layer}`;
          if (recorded) recordings[full] = putRowsAt(recordings[full]!, of('places'), rows);
          tell(name, recorded ? recordings[full]! : rows);
        };
        const put = (cache: Value, rows: Value): Value =>
          putSlices(cache, of('slots'), reshape(rows, [`${kvHeads}*G*R`, headDim]));

        const { q, k, v } = decoder.project(ops, x, { cos: of('cos'), sin: of('sin') });
        const held = { k: put(own[layer]!.k, k), v: put(own[layer]!.v, v) };
        own[layer] = held;
        tell('kOwn', held.k);
        tell('vOwn', held.v);
        const { out, masses } = decodeAttention(
          {
            q,
            kPrompt: w[`kPrompt.${layer}`]!,
            vPrompt: w[`vPrompt.${layer}`]!,
            kOwn: held.k,
            vOwn: held.v,
            unseen: of('unseen'),
            indicator: probed.includes(layer) ? w.indicator : undefined,
          },
          heads,
        );
        if (masses !== null) tell('masses', masses);
        const o = reshape(out, rowsShape(form, 'G*R', queryWidth));
        const { y, ...kept } = decoder.finish(ops, x, o);
        if (taped && (layer > 0 || embeds)) keep('x', ops.rows(x));
        if (taped) keep('o', o);
        if (products) for (const [name, value] of Object.entries({ q, k, v, ...kept })) keep(name, value);
        return y;
      };

      const frozenLayers = (layer: number, values: Readonly<Record<string, Value>>): Record<string, FrozenMatrix> =>
        Object.fromEntries([
          ...Object.entries(frozen[layer] ?? {}).map(([name, stored]) => [
            name.replace(/\.weight$/, ''),
            frozenMatrix(stored, `${layer}.${name}`, values),
          ]),
          ...Object.entries(resident[layer] ?? {}).flatMap(([name, { matrix }]) =>
            matrix === null ? [] : [[name.replace(/\.weight$/, ''), matrix(below(values, `${layer}.${name}.`))]],
          ),
        ]);
      let ids = w.ids;
      for (let token = 0; token < tokens; token++) {
        const rows =
          ids === undefined ? w.x! : reshape(takeRowsByPieces(w.embeddings!, ids), rowsShape(form, 'G*R', hiddenSize));
        let x = inBlocks ? rowsToBlocks(rows) : rows;
        for (let layer = 0; layer < count; layer++) x = block(x, layer, token);
        const y = inBlocks ? blocksToRows(x) : x;
        if (taped || head === null) outputs[`${token}.y`] = y;
        if (head === null) continue;
        const drawn = head.build({ ...w, hidden: y, uniform: w[`${token}.uniform`]! });
        for (const [name, value] of Object.entries(drawn)) outputs[`${token}.${name}`] = value;
        ids = toInt(reshape(drawn.id!, ['G*R']));
      }
      return outputs;
    },
  };
}

/** The name of the number [] by which a product with float16 words is multiplied. */
export const factorName = (weight: string): string => `${weight}.factor`;

function frozenMatrix(stored: StoredWeight, name: string, values: Readonly<Record<string, Value>>): FrozenMatrix {
  if (stored.kind === 'quantised') return { ...stored, block: QUANT_BLOCK };
  return { pieces: halfPieces(stored).map((_, i) => values[`${name}.${i}`]!), factor: values[factorName(name)]! };
}

/** The values whose names begin with a prefix, by what follows it. */
function below(w: Readonly<Record<string, Value>>, prefix: string): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(w).flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
    ),
  );
}

/**
 * Views rows [n, c] in the shape in which the module writes the output of that name, e.g. `gate.3`. With weights in blocks
 * that is [1, 1, n, c]; for q, k and v, which are turned between rows and heads, [1, n, c]. Masses are never in blocks.
 */
export function asOutput(form: WeightForm, name: string): (rows: Tensor) => Tensor {
  const [kind] = name.split('.') as [string];
  if (form !== 'blocks' || kind === 'masses') return (rows) => rows;
  const front = ['q', 'k', 'v'].includes(kind) ? [1] : [1, 1];
  return (rows) => resized(here(rows), [...front, ...rows.dims]);
}
