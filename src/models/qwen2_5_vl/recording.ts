/**
 * Keeps, while completions are sampled, what backward needs of every row: each block's input and attention result.
 * Rows are written where a completion of full length would have them, and moved together once the lengths are known.
 */
import type { FloatTensor } from '../../runtime/tensor.ts';
import type { Workspace } from '../../runtime/workspace.ts';
import type { TextConfig } from './config.ts';

export interface RecordingShape {
  readonly promptLengths: readonly number[];
  /** Completions of each prompt, and tokens each may grow to. */
  readonly count: number;
  readonly maxTokens: number;
  /** Layers whose attention masses are measured, on this many spans. */
  readonly probedLayers: readonly number[];
  readonly spans: number;
}

/** What is left when the completions have ended: rows in packed order. */
export interface Recorded {
  /** Per layer: input [rows, hidden] and attention result [rows, heads * d]. */
  readonly layers: readonly { readonly x: FloatTensor; readonly o: FloatTensor }[];
  /** [rows, hidden]: output of the last block */
  readonly hidden: FloatTensor;
  /** Layer -> [rows of completions, spans] */
  readonly masses: ReadonlyMap<number, FloatTensor>;
}

export interface Recording {
  readonly probedLayers: readonly number[];
  readonly spans: number;
  /** A layer of all prompts, packed one after another. */
  prompts(layer: number, x: FloatTensor, o: FloatTensor): void;
  promptsHidden(hidden: FloatTensor): void;
  /** Where token `t` of a completion is kept. */
  place(group: number, completion: number, t: number): number;
  /** A layer of one decode step; places[i] is that of row i. */
  step(layer: number, places: readonly number[], x: FloatTensor, o: FloatTensor, masses: FloatTensor | null): void;
  stepHidden(places: readonly number[], hidden: FloatTensor): void;
  /** Moves the rows together. @param lengths per group, per completion */
  finish(lengths: readonly (readonly number[])[]): Recorded;
}

export function createRecording(config: TextConfig, workspace: Workspace, shape: RecordingShape): Recording {
  const { promptLengths, count, maxTokens, probedLayers, spans } = shape;
  const { hiddenSize, numAttentionHeads, headDim, numHiddenLayers } = config;
  const starts: number[] = [];
  let capacity = 0;
  for (const length of promptLengths) {
    starts.push(capacity);
    capacity += length + count * maxTokens;
  }
  const buffer = (name: string, width: number): FloatTensor => workspace.get(`recorded.${name}`, capacity, width);
  const layers = Array.from({ length: numHiddenLayers }, (_, layer) => ({
    x: buffer(`${layer}.x`, hiddenSize),
    o: buffer(`${layer}.o`, numAttentionHeads * headDim),
  }));
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
    for (const [i, place] of places.entries()) {
      to.data.set(from.data.subarray(i * width, (i + 1) * width), place * width);
    }
  };

  return {
    probedLayers,
    spans,
    prompts(layer, x, o) {
      copyPrompts(x, layers[layer]!.x);
      copyPrompts(o, layers[layer]!.o);
    },
    promptsHidden: (rows) => copyPrompts(rows, hidden),
    place: (group, completion, t) => starts[group]! + promptLengths[group]! + completion * maxTokens + t,
    step(layer, places, x, o, measured) {
      copyRows(x, layers[layer]!.x, places);
      copyRows(o, layers[layer]!.o, places);
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
        layers: layers.map(({ x, o }) => ({ x: together(x, all), o: together(o, all) })),
        hidden: together(hidden, all),
        masses: new Map([...masses].map(([layer, tensor]) => [layer, together(tensor, completions.flat())])),
      };
    },
  };
}
