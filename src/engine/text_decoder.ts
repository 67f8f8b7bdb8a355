/**
 * Runs the text decoder layer by layer over a packed batch, forward and backward. All layers share compiled modules.
 * Knows rows, not where their embeddings come from.
 */

import type { BackwardOptions, Module } from '../graph/module.ts';
import type { ModelConfig, TextConfig } from '../models/architecture.ts';
import { layerTensor } from '../models/names.ts';
import { angleTable, inverseFrequencies, mropeAxes } from '../nn/rope.ts';
import { createModuleCache } from '../runtime/compiled_module.ts';
import { type FloatTensor, floats, ints, type Tensor } from '../runtime/tensor.ts';
import type { Workspace } from '../runtime/workspace.ts';
import type { Projections } from './attention_feeds.ts';
import type { NameOf } from './bindings.ts';
import { attentionInput, attentionOutput, ROWS } from './block_modules.ts';
import type { Dropout } from './dropout.ts';
import { createLayerModules, type LayerModules } from './layer_modules.ts';
import { createLayerTape, isKept, keptOf, type LayerTape, mapTape } from './layer_tape.ts';
import type { PackedBatch } from './packed.ts';
import type { Parameters } from './parameters.ts';
import { tapeInOrder } from './tape_reorder.ts';
import { type AttentionImplementation, createTextAttention, type MapRows, type Probe } from './text_attention.ts';
import type { WorkingMemory } from './working_memory.ts';

export interface DecoderOptions {
  readonly implementation: AttentionImplementation;
  /** Keep what backward needs of every layer. Otherwise layers share their buffers. */
  readonly keep: boolean;
  /** Also keep the results of a layer's products, which backward would compute again. */
  readonly products?: boolean;
  /**
   * Rows whose output of the last block is wanted, ascending; default all. The last block computes the other rows up to
   * attention only.
   */
  readonly outputRows?: Int32Array;
  /** Measures the attention masses of completion rows in these layers. */
  readonly probe?: Probe & { readonly layers: readonly number[] };
  /** Asks for the attention weights of completion rows on every column. */
  readonly maps?: AttentionMaps | undefined;
  /** Called with each layer's projections of all rows. */
  readonly onProjections?: (layer: number, projections: Projections) => Promise<void>;
  /**
   * Memory for each layer's rows, and for its products if they are kept. The embeddings are in the first layer's `x` already.
   * In the last layer, `attended`, `gate` and `up` are set to 0 in rows that are not among the output rows.
   */
  readonly into?: readonly LayerTape[];
  /** Called with each layer's result [rows, hidden]; it may add to it before the next layer reads it. */
  readonly afterLayer?: (layer: number, y: Tensor) => Promise<void>;
  /** Of the inputs of adapters. */
  readonly dropout?: Dropout | null | undefined;
  /** Called with each layer's attention weights [heads, S, S], per sequence. For `eager`, and batches without completions. */
  readonly onWeights?: (layer: number, weights: readonly FloatTensor[]) => void;
}

/** Attention weights to be looked at, layer by layer, while a forward runs. */
export interface AttentionMaps {
  readonly layers: readonly number[];
  /** Number by which each head of a layer counts: [heads]. */
  readonly headWeights: (layer: number) => FloatTensor;
  readonly onRows: (layer: number, rows: MapRows) => void;
}

/** Of the rotary embedding: [rows, d / 2]. */
export interface Angles {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/** What backward starts from. */
export interface DecoderTape {
  readonly batch: PackedBatch;
  readonly implementation: AttentionImplementation;
  readonly angles: Angles;
  /** In the last layer, `attended`, `gate` and `up` have the output rows only; with `order`, all rows, and 0 in the others. */
  readonly layers: readonly LayerTape[];
  /** For each row of the batch, its index in the layers' rows; absent: the same order. */
  readonly order?: Int32Array;
  readonly outputRows: Int32Array | undefined;
  readonly dropout?: Dropout | null | undefined;
}

export interface DecoderResult {
  /** Output of the last block, before the final norm: [N or output rows, hidden] */
  readonly hidden: Tensor;
  /** Layer -> masses [C, spans] of the completion rows, in packed order. */
  readonly masses: ReadonlyMap<number, FloatTensor>;
  readonly tape: DecoderTape | null;
}

export interface TextDecoder {
  /** @param embeddings [N, hidden]; must stay as they are until backward */
  forward(batch: PackedBatch, embeddings: Tensor, options: DecoderOptions): Promise<DecoderResult>;
  /**
   * Adds weight gradients to their accumulators, and returns the cotangent of the embeddings [N, hidden]; null, and no layer
   * below the lowest one that is trained is run, if that is not asked for.
   *
   * @param dHidden cotangent of `hidden`: [N or output rows, hidden]
   * @param options.toEmbeddings whether the embeddings or what is added to the stream depend on something that is trained
   * @param options.onCotangent called with the cotangent of each layer's result: [rows, hidden], in the last layer
   *   [output rows, hidden]
   */
  backward(
    tape: DecoderTape,
    dHidden: Tensor,
    options: { readonly toEmbeddings: boolean; readonly onCotangent?: (layer: number, dy: Tensor) => Promise<void> },
  ): Promise<Tensor | null>;
  release(): Promise<void>;
}

export function createTextDecoder(
  modelConfig: ModelConfig,
  parameters: Parameters,
  { device, workspace, scratch, moves }: WorkingMemory,
): TextDecoder {
  const { text: config } = modelConfig;
  const { numHiddenLayers, hiddenSize, numAttentionHeads, numKeyValueHeads, headDim } = config;
  const block = modelConfig.architecture.decoderBlock(modelConfig);
  const modulesOf = (module: Module, backward: BackwardOptions = {}): LayerModules =>
    createLayerModules(module, ROWS, parameters, scratch, backward, device);
  const before = modulesOf(attentionInput(block, config), { accumulateInputs: ['x'] });
  const after = modulesOf(attentionOutput(block, config));
  const reordering = createModuleCache(device);
  const attention = createTextAttention({ heads: numAttentionHeads, kvHeads: numKeyValueHeads, headDim }, device);
  const projectionsOf = (rowCount: number, tag: string): Projections => ({
    q: workspace.get(`${tag}.q`, rowCount, numAttentionHeads * headDim),
    k: workspace.get(`${tag}.k`, rowCount, numKeyValueHeads * headDim),
    v: workspace.get(`${tag}.v`, rowCount, numKeyValueHeads * headDim),
  });

  /** Nothing is trained in the layers below this one. */
  const lowestTrained = ((): number => {
    const layers = Array.from({ length: numHiddenLayers }, (_, layer) => layer);
    return layers.find((layer) => [before, after].some((half) => half.trains(layerName(layer)))) ?? numHiddenLayers;
  })();

  /** Memory for the picked rows of a tensor; the tensor itself if all its rows are picked. */
  const picking = (name: string, whole: Tensor, picked: Int32Array | undefined): Tensor =>
    picked === undefined || picked.length === whole.dims[0]
      ? whole
      : workspace.get(`text.picked.${name}`, picked.length, whole.dims[1]!);
  const pick = async (name: string, tensor: Tensor, picked: Int32Array | undefined): Promise<Tensor> => {
    const into = picking(name, tensor, picked);
    return into === tensor ? tensor : moves.gather(tensor, picked!, into);
  };
  /** Sets the other rows of `whole` to zero. */
  const unpick = async (from: Tensor, picked: Int32Array, whole: Tensor): Promise<void> => {
    await device.clear(whole);
    await moves.put(from, picked, whole);
  };

  /** A layer's rows in the order of the batch, in memory that all layers share. */
  async function inOrder(tape: LayerTape, order: Int32Array | undefined): Promise<LayerTape> {
    if (order === undefined) return tape;
    const feeds: Record<string, Tensor> = { order: ints(order, [order.length]) };
    const into: Record<string, Tensor> = {};
    const ordered = mapTape(tape, (name, tensor) => {
      feeds[name] = tensor;
      into[`ordered.${name}`] = workspace.get(`text.ordered.${name}`, order.length, tensor.dims[1]!);
      return into[`ordered.${name}`]!;
    });
    const products = tape.products !== null;
    await reordering.get(String(products), () => tapeInOrder(config, products)).forward(feeds, into);
    return ordered;
  }

  return {
    async forward(batch, embeddings, { implementation, keep, products: wanted = false, ...options }) {
      const { outputRows, probe, maps, onWeights, onProjections, afterLayer, into, dropout } = options;
      const { rows } = batch;
      const angles = await uploadAngles(workspace, textAngles(config, batch), { taped: keep });
      const completionRows = batch.groups.reduce((sum, group) => sum + group.completionRows.length, 0);
      const masses = new Map<number, FloatTensor>();
      const layers: LayerTape[] = [];
      let x = embeddings;
      for (let layer = 0; layer < numHiddenLayers; layer++) {
        // Without `keep`, all layers share these buffers.
        const picked = layer === numHiddenLayers - 1 ? outputRows : undefined;
        const own = (name: string, width: number): Tensor => {
          if (name === 'x') return x;
          const count = isKept(name) ? (picked?.length ?? rows) : rows;
          return workspace.get(keep ? `text.${layer}.${name}` : `text.${name}`, count, width);
        };
        const tape = into?.[layer] ?? createLayerTape(config, own, wanted);
        const projections = tape.products ?? projectionsOf(rows, 'text');
        const { o } = tape;
        // Without `keep`, two buffers take turns, so that a block never reads and writes the same one.
        const y =
          into?.[layer + 1]?.x ??
          workspace.get(keep ? `text.${layer}.y` : `text.x.${layer % 2}`, picked?.length ?? rows, hiddenSize);
        const { q, k, v } = projections;
        const name = layerName(layer);
        await before.forward(name, { ...angles, x }, { q, k, v }, { dropout });
        await onProjections?.(layer, projections);
        if (onWeights !== undefined) {
          onWeights(layer, await attention.forwardWithWeights(batch, projections, o));
        } else {
          let measured: { probe: Probe; masses: FloatTensor } | undefined;
          if (probe?.layers.includes(layer)) {
            measured = {
              probe,
              masses: floats(new Float32Array(completionRows * probe.spans), [completionRows, probe.spans]),
            };
            masses.set(layer, measured.masses);
          }
          const map = maps?.layers.includes(layer)
            ? { headWeights: maps.headWeights(layer), onRows: (rows: MapRows) => maps.onRows(layer, rows) }
            : undefined;
          await attention.forward(batch, projections, o, { implementation, probe: measured, map });
        }
        const outputFeeds = { x: await pick('x', x, picked), o: await pick('o', o, picked) };
        if (tape.products === null) await after.forward(name, outputFeeds, { y }, { dropout });
        else {
          const whole = keptOf(tape.products);
          const kept = keptOf(tape.products, (name, tensor) => picking(name, tensor, picked));
          await after.forward(name, outputFeeds, { y, ...kept }, { dropout, run: 'forwardKeeping' });
          for (const [name, rowsKept] of Object.entries(kept))
            if (rowsKept !== whole[name]) await unpick(rowsKept, picked!, whole[name]!);
        }
        await afterLayer?.(layer, y);
        layers.push(tape);
        x = y;
      }
      return { hidden: x, masses, tape: keep ? { batch, implementation, angles, layers, outputRows, dropout } : null };
    },

    async backward(
      { batch, implementation, angles, layers, order, outputRows, dropout },
      dHidden,
      { toEmbeddings, onCotangent },
    ) {
      const { rows } = batch;
      const lowest = toEmbeddings ? 0 : lowestTrained;
      let dy = dHidden;
      const d = projectionsOf(rows, 'text.d');
      const dO = workspace.get('text.d.o', rows, numAttentionHeads * headDim);
      for (let layer = numHiddenLayers - 1; layer >= lowest; layer--) {
        await onCotangent?.(layer, dy);
        const { x, o, products } = await inOrder(layers[layer]!, order);
        const picked = layer === numHiddenLayers - 1 ? outputRows : undefined;
        const name = layerName(layer);
        const dx = workspace.get(`text.d.x.${layer % 2}`, rows, hiddenSize);
        const [dxOut, dOOut] = [picking('d.x', dx, picked), picking('d.o', dO, picked)];
        const kept: Record<string, Tensor> = {};
        for (const [kind, tensor] of Object.entries(products === null ? {} : keptOf(products)))
          kept[kind] = await pick(kind, tensor, picked);
        await after.backward(
          name,
          { x: await pick('x', x, picked), o: await pick('o', o, picked), 'd.y': dy },
          { 'd.x': dxOut, 'd.o': dOOut },
          { dropout, kept: products === null ? undefined : kept },
        );
        if (picked !== undefined && dxOut !== dx) {
          await unpick(dxOut, picked, dx);
          await unpick(dOOut, picked, dO);
        }
        if (layer === lowest && !toEmbeddings && !before.trains(name)) break;
        const inputFeeds = { ...angles, x };
        const projections = products ?? projectionsOf(rows, 'text');
        const { q, k, v } = projections;
        if (products === null) await before.forward(name, inputFeeds, { q, k, v }, { dropout });
        await attention.backward(batch, projections, dO, d, implementation);
        await before.backward(
          name,
          { ...inputFeeds, 'd.q': d.q, 'd.k': d.k, 'd.v': d.v, 'acc.x': dx },
          { 'grad.x': dx },
          { dropout },
        );
        dy = dx;
      }
      return toEmbeddings ? dy : null;
    },

    async release() {
      await Promise.all([before.release(), after.release(), reordering.release(), attention.release()]);
    },
  };
}

/** Angles of the multimodal rotary embedding: [rows, d / 2]. Each rotary pair turns by the position on its axis. */
export function textAngles(
  { ropeTheta, headDim, mropeSection, mropeInterleaved }: TextConfig,
  { rows, positions }: Pick<PackedBatch, 'rows' | 'positions'>,
): { cos: FloatTensor; sin: FloatTensor } {
  const axes = mropeAxes(mropeSection, mropeInterleaved);
  const frequencies = inverseFrequencies(ropeTheta, headDim, headDim / 2);
  const { cos, sin, half } = angleTable(rows, frequencies, (row, i) => positions[axes[i]! * rows + row]!);
  return { cos: floats(cos, [rows, half]), sin: floats(sin, [rows, half]) };
}

/** The angles in the device's memory, until the next ones of a tape or without one. */
export async function uploadAngles(
  workspace: Workspace,
  { cos, sin }: { readonly cos: FloatTensor; readonly sin: FloatTensor },
  { taped }: { readonly taped: boolean },
): Promise<Angles> {
  const name = taped ? 'text.taped' : 'text';
  return { cos: await workspace.upload(`${name}.cos`, cos), sin: await workspace.upload(`${name}.sin`, sin) };
}

// --- internal ---

const layerName =
  (layer: number): NameOf =>
  (param) =>
    layerTensor(layer, param);
