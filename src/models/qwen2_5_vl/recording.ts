/**
 * Keeps, while completions are sampled, what backward needs of every row: each block's input and attention
 * result, and results of its products unless they are to be computed again.
 * Rows are written where a completion of full length would have them, and moved together once the lengths are known.
 */
import type { FloatTensor } from '../../runtime/tensor.ts';
import type { Workspace } from '../../runtime/workspace.ts';
import type { TextConfig } from './config.ts';
import { createLayerTape, type LayerTape, tensorsOf } from './layer_tape.ts';

export interface RecordingShape {
  readonly promptLengths: readonly number[];
  /** Completions of each prompt, and tokens each may grow to. */
  readonly count: number;
  readonly maxTokens: number;
  /** Layers whose attention masses are measured, on this many spans. */
  readonly probedLayers: readonly number[];
  readonly spans: number;
  /** Keep results of products as well. */
  readonly products: boolean;
}

/** What is left when the completions have ended: rows in packed order. */
export interface Recorded {
  readonly layers: readonly LayerTape[];
  /** [rows, hidden]: output of the last block; of a prompt its last row only */
  readonly hidden: FloatTensor;
  /** Layer -> [rows of completions, spans] */
  readonly masses: ReadonlyMap<number, FloatTensor>;
}

export interface Recording {
  readonly probedLayers: readonly number[];
  readonly spans: number;
  readonly products: boolean;
  /** A layer of all prompts, packed one after another. */
  prompts(layer: number, rows: LayerTape): void;
  /** Output of the last layer for each prompt's last row: [prompts, hidden]. */
  promptsHidden(hidden: FloatTensor): void;
  /** Where token `t` of a completion is kept. */
  place(group: number, completion: number, t: number): number;
  /** A layer of one decode step; places[i] is that of row i. */
  step(layer: number, places: readonly number[], rows: LayerTape, masses: FloatTensor | null): void;
  stepHidden(places: readonly number[], hidden: FloatTensor): void;
  /** Moves the rows together. @param lengths per group, per completion */
  finish(lengths: readonly (readonly number[])[]): Recorded;
}

export function createRecording(config: TextConfig, workspace: Workspace, shape: RecordingShape): Recording {
  const { promptLengths, count, maxTokens, probedLayers, spans, products } = shape;
  const { hiddenSize, numHiddenLayers } = config;
  const starts: number[] = [];
  let capacity = 0;
  for (const length of promptLengths) {
    starts.push(capacity);
    capacity += length + count * maxTokens;
  }
  const buffer = (name: string, width: number): FloatTensor => workspace.get(`recorded.${name}`, capacity, width);
  const layers = Array.from({ length: numHiddenLayers }, (_, layer) =>
    createLayerTape(config, (name, width) => buffer(`${layer}.${name}`, width), products),
  );
  const hidden = buffer('hidden', hiddenSize);
  const masses = new Map(probedLayers.map((layer) => [layer, buffer(`${layer}.masses`, spans)]));

  const copyPrompts = (from: FloatTensor, to: FloatTensor): void => {
    const width = to.dims[1]!;
    let row = 0;
    for (const [g, length] of promptLengths.entries()) {
      to.data.set(from.data.subarray(row * width, (row + length) * width), starts[g]! * width);
      row += length;
    }
  };
  const copyRows = (from: FloatTensor, to: FloatTensor, places: readonly number[]): void => {
    const width = to.dims[1]!;
    for (let i = 0; i < places.length; i++)
      to.data.set(from.data.subarray(i * width, (i + 1) * width), places[i]! * width);
  };

  return {
    probedLayers,
    spans,
    products,
    prompts(layer, rows) {
      copyTape(rows, layers[layer]!, copyPrompts);
    },
    promptsHidden: (rows) =>
      copyRows(
        rows,
        hidden,
        promptLengths.map((length, g) => starts[g]! + length - 1),
      ),
    place: (group, completion, t) => starts[group]! + promptLengths[group]! + completion * maxTokens + t,
    step(layer, places, rows, measured) {
      copyTape(rows, layers[layer]!, (from, to) => copyRows(from, to, places));
      if (measured !== null) copyRows(measured, masses.get(layer)!, places);
    },
    stepHidden: (places, rows) => copyRows(rows, hidden, places),
    finish(lengths) {
      const prompts = promptLengths.map((length, g) => ({ start: starts[g]!, length }));
      const completions = lengths.map((group, g) =>
        group.map((length, c) => ({ start: starts[g]! + promptLengths[g]! + c * maxTokens, length })),
      );
      const all = prompts.flatMap((prompt, g) => [prompt, ...completions[g]!]);
      const rowCount = all.reduce((sum, { length }) => sum + length, 0);
      // Every piece moves towards the front, in order, so none is overwritten before it has moved.
      const together = (tensor: FloatTensor, pieces: readonly { start: number; length: number }[]): FloatTensor => {
        const width = tensor.dims[1]!;
        let next = 0;
        for (const { start, length } of pieces) {
          tensor.data.copyWithin(next * width, start * width, (start + length) * width);
          next += length;
        }
        return { ...tensor, data: tensor.data.subarray(0, next * width), dims: [next, width] };
      };
      if (rowCount > capacity) throw new Error('internal: more rows recorded than there is room for');
      return {
        layers: layers.map((layer) => mapTape(config, layer, (tensor) => together(tensor, all))),
        hidden: together(hidden, all),
        masses: new Map([...masses].map(([layer, tensor]) => [layer, together(tensor, completions.flat())])),
      };
    },
  };
}

// --- internal ---

function copyTape(from: LayerTape, to: LayerTape, copy: (from: FloatTensor, to: FloatTensor) => void): void {
  const sources = tensorsOf(from);
  for (const [i, target] of tensorsOf(to).entries()) {
    const source = sources[i];
    if (source === undefined) throw new Error('internal: products are recorded, and a layer brings none');
    copy(source, target);
  }
}

/** Another tape of the same kind. */
function mapTape(config: TextConfig, tape: LayerTape, map: (tensor: FloatTensor) => FloatTensor): LayerTape {
  const named: Record<string, FloatTensor> = { x: tape.x, o: tape.o, ...tape.products };
  return createLayerTape(config, (name) => map(named[name]!), tape.products !== null);
}
