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
  /** Keep the log-probabilities of all tokens wherever one is drawn, if they take at most so many bytes. */
  readonly logpsBytes: number;
}

/** What is left when the completions have ended: rows in packed order, those of last tokens left out. */
export interface Recorded {
  readonly layers: readonly LayerTape[];
  /** [rows, hidden]: output of the last block; of a prompt its last row only */
  readonly hidden: FloatTensor;
  /** Layer -> [tokens of completions, spans] */
  readonly masses: ReadonlyMap<number, FloatTensor>;
  /** [tokens of completions, vocab] */
  readonly logps: FloatTensor | null;
}

export interface Recording {
  readonly probedLayers: readonly number[];
  readonly spans: number;
  readonly products: boolean;
  /** Whether log-probabilities are kept. */
  readonly logps: boolean;
  /** A layer of all prompts, packed one after another. */
  prompts(layer: number, rows: LayerTape): void;
  /** Output of the last layer for each prompt's last row: [prompts, hidden]. */
  promptsHidden(hidden: FloatTensor): void;
  /** Token `t` of a completion, which stands in row `row` of what follows; nothing is kept of a last one but its masses. */
  token(group: number, completion: number, t: number, at: { row: number; isLast: boolean }): RecordedToken;
  /** A layer of one decode step: the rows of these tokens. */
  step(layer: number, tokens: readonly RecordedToken[], rows: LayerTape, masses: FloatTensor | null): void;
  stepHidden(tokens: readonly RecordedToken[], hidden: FloatTensor): void;
  /** Log-probabilities [rows, vocab] that tokens were drawn from. */
  drawn(tokens: readonly RecordedToken[], logps: FloatTensor): void;
  /** Moves the rows together. @param lengths in tokens, per group, per completion */
  finish(lengths: readonly (readonly number[])[]): Recorded;
}

export interface RecordedToken {
  /** Its row in the tensors of a step. */
  readonly from: number;
  /** Where its row is kept, if it is, and where among the tokens of completions it is. */
  readonly to: number | null;
  readonly index: number;
}

export function createRecording(config: TextConfig, workspace: Workspace, shape: RecordingShape): Recording {
  const { promptLengths, count, maxTokens, probedLayers, spans, products, logpsBytes } = shape;
  const { hiddenSize, numHiddenLayers, vocabSize } = config;
  const starts: number[] = [];
  const room = Math.max(0, maxTokens - 1); // rows of a completion: its last token has none
  let capacity = 0;
  for (const length of promptLengths) {
    starts.push(capacity);
    capacity += length + count * room;
  }
  const buffer = (name: string, width: number): FloatTensor => workspace.get(`recorded.${name}`, capacity, width);
  const layers = Array.from({ length: numHiddenLayers }, (_, layer) =>
    createLayerTape(config, (name, width) => buffer(`${layer}.${name}`, width), products),
  );
  const hidden = buffer('hidden', hiddenSize);

  const tokenCount = promptLengths.length * count * maxTokens;
  const ofTokens = (name: string, width: number): FloatTensor => workspace.get(`recorded.${name}`, tokenCount, width);
  const masses = new Map(probedLayers.map((layer) => [layer, ofTokens(`${layer}.masses`, spans)]));
  const logps = 4 * tokenCount * vocabSize <= logpsBytes ? ofTokens('logps', vocabSize) : null;

  const copyPrompts = (from: FloatTensor, to: FloatTensor): void => {
    const width = to.dims[1]!;
    let row = 0;
    for (const [g, length] of promptLengths.entries()) {
      to.data.set(from.data.subarray(row * width, (row + length) * width), starts[g]! * width);
      row += length;
    }
  };
  const copyRow = (from: FloatTensor, row: number, to: FloatTensor, place: number): void => {
    const width = to.dims[1]!;
    to.data.set(from.data.subarray(row * width, (row + 1) * width), place * width);
  };
  const copyTokens = (from: FloatTensor, to: FloatTensor, tokens: readonly RecordedToken[]): void => {
    for (const token of tokens) if (token.to !== null) copyRow(from, token.from, to, token.to);
  };
  const copyOfTokens = (from: FloatTensor, to: FloatTensor, tokens: readonly RecordedToken[]): void => {
    for (const token of tokens) copyRow(from, token.from, to, token.index);
  };

  return {
    probedLayers,
    spans,
    products,
    logps: logps !== null,
    prompts(layer, rows) {
      copyTape(rows, layers[layer]!, copyPrompts);
    },
    promptsHidden(rows) {
      for (const [g, length] of promptLengths.entries()) copyRow(rows, g, hidden, starts[g]! + length - 1);
    },
    token: (group, completion, t, { row, isLast }) => ({
      from: row,
      to: isLast ? null : starts[group]! + promptLengths[group]! + completion * room + t,
      index: (group * count + completion) * maxTokens + t,
    }),
    step(layer, tokens, rows, measured) {
      copyTape(rows, layers[layer]!, (from, to) => copyTokens(from, to, tokens));
      if (measured !== null) copyOfTokens(measured, masses.get(layer)!, tokens);
    },
    stepHidden: (tokens, rows) => copyTokens(rows, hidden, tokens),
    drawn(tokens, rows) {
      if (logps === null) throw new Error('internal: this recording keeps no log-probabilities');
      copyOfTokens(rows, logps, tokens);
    },
    finish(lengths) {
      const prompts = promptLengths.map((length, g) => ({ start: starts[g]!, length }));
      const completions = lengths.map((group, g) =>
        group.map((length, c) => ({
          start: starts[g]! + promptLengths[g]! + c * room,
          length: Math.max(0, length - 1),
        })),
      );
      const tokens = lengths.flat().map((length, i) => ({ start: i * maxTokens, length }));
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
        masses: new Map([...masses].map(([layer, tensor]) => [layer, together(tensor, tokens)])),
        logps: logps && together(logps, tokens),
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
