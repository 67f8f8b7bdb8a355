/**
 * Keeps, while completions are sampled, what backward needs of every row: each block's input and attention
 * result, and results of its products unless they are to be computed again.
 * Rows lie in the order in which they are computed, the prompts' first, and a decode step writes them where they stay; which
 * row is whose is put together once the completions have ended.
 */
import { type FloatTensor, gatherRows, rows as rowsOf, zeros } from '../../runtime/tensor.ts';
import type { Workspace } from '../../runtime/workspace.ts';
import type { TextConfig } from './config.ts';
import { createLayerTape, type LayerTape, mapTape } from './layer_tape.ts';

export interface RecordingShape {
  readonly promptLengths: readonly number[];
  /** Completions of each prompt, and tokens each may grow to. */
  readonly count: number;
  readonly maxTokens: number;
  /** Tokens that may be computed at every place, those included that turn out to come after a completion's last. */
  readonly steps: number;
  /** Layers whose attention masses are measured, on this many spans. */
  readonly probedLayers: readonly number[];
  readonly spans: number;
  /** Keep results of products as well. */
  readonly products: boolean;
  /** Keep the log-probabilities of all tokens wherever one is drawn, if they take at most so many bytes. */
  readonly logpsBytes: number;
}

/** What is left when the completions have ended. */
export interface Recorded {
  /** Of all rows in the order in which they were computed. */
  readonly layers: readonly LayerTape[];
  /** Of the same rows, output of the last block; of a prompt only its last row is set. */
  readonly hidden: FloatTensor;
  /** Where the rows of a packed batch lie among them, those of last tokens left out: [rows]. */
  readonly order: Int32Array;
  /** Layer -> [tokens of completions, spans] */
  readonly masses: ReadonlyMap<number, FloatTensor>;
  /** [tokens of completions, vocab] */
  readonly logps: FloatTensor | null;
}

export interface Recording {
  readonly products: boolean;
  /** Whether log-probabilities are kept. */
  readonly logps: boolean;
  /** Rows of all prompts, one prompt after another, for a forward over them to write. */
  readonly promptLayers: readonly LayerTape[];
  /** Output of the last layer for each prompt's last row: [prompts, hidden]. */
  promptsHidden(hidden: FloatTensor): void;
  /** Rows of one token at so many places, for a decode step to write. */
  open(places: number): TokenRows;
  /** Says that row `place` of those belongs to a token. */
  stands(token: RecordedToken, rows: TokenRows, place: number): void;
  /** Log-probabilities that a token was drawn from: row `place` of [places, vocab]. */
  drawn(token: RecordedToken, logps: FloatTensor, place: number): void;
  /** @param lengths in tokens, per group, per completion */
  finish(lengths: readonly (readonly number[])[]): Recorded;
}

/** Memory of the recording. */
export interface TokenRows {
  /** The first of them among all. */
  readonly first: number;
  readonly layers: readonly LayerTape[];
  /** Output of the last layer [places, hidden]. */
  readonly hidden: FloatTensor;
  /** Probed layer -> [places, spans] */
  readonly masses: ReadonlyMap<number, FloatTensor>;
}

/** Token `t` of a completion. */
export interface RecordedToken {
  readonly group: number;
  readonly completion: number;
  readonly t: number;
}

/** Rows that there may be. */
export const recordedRows = ({
  promptLengths,
  count,
  steps,
}: Pick<RecordingShape, 'promptLengths' | 'count' | 'steps'>): number =>
  sumOf(promptLengths) + promptLengths.length * count * steps;

export function createRecording(config: TextConfig, workspace: Workspace, shape: RecordingShape): Recording {
  const { promptLengths, count, maxTokens, steps, probedLayers, spans, products, logpsBytes } = shape;
  const { hiddenSize, numHiddenLayers, vocabSize } = config;
  const completions = promptLengths.length * count;
  const promptRows = sumOf(promptLengths);
  const capacity = recordedRows(shape);
  const buffer = (name: string, width: number): FloatTensor => workspace.get(`recorded.${name}`, capacity, width);
  const layers = Array.from({ length: numHiddenLayers }, (_, layer) =>
    createLayerTape(config, (name, width) => buffer(`${layer}.${name}`, width), products),
  );
  const between = (start: number, end: number): LayerTape[] =>
    layers.map((layer) => mapTape(layer, (_, tensor) => rowsOf(tensor, start, end)));
  const hidden = buffer('hidden', hiddenSize);
  const masses = new Map(
    probedLayers.map((layer) => [layer, workspace.get(`recorded.${layer}.masses`, completions * steps, spans)]),
  );
  const tokens = completions * maxTokens;
  const logps = 4 * tokens * vocabSize <= logpsBytes ? workspace.get('recorded.logps', tokens, vocabSize) : null;

  const indexOf = ({ group, completion, t }: RecordedToken): number => (group * count + completion) * maxTokens + t;
  /** Row of each token, of completions of full length. */
  const rowOfToken = new Int32Array(tokens).fill(NOT_COMPUTED);
  let used = promptRows;

  return {
    products,
    logps: logps !== null,
    promptLayers: between(0, promptRows),
    promptsHidden(rows) {
      let end = 0;
      for (const [g, length] of promptLengths.entries()) {
        end += length;
        hidden.data.set(rowsOf(rows, g, g + 1).data, (end - 1) * hiddenSize);
      }
    },
    open(places) {
      const [first, end] = [used, used + places];
      used = end;
      return {
        first,
        layers: between(first, end),
        hidden: rowsOf(hidden, first, end),
        masses: new Map(
          [...masses].map(([layer, tensor]) => [layer, rowsOf(tensor, first - promptRows, end - promptRows)]),
        ),
      };
    },
    stands(token, rows, place) {
      rowOfToken[indexOf(token)] = rows.first + place;
    },
    drawn(token, rows, place) {
      if (logps === null) throw new Error('internal: this recording keeps no log-probabilities');
      logps.data.set(rowsOf(rows, place, place + 1).data, indexOf(token) * vocabSize);
    },
    finish(lengths) {
      const pieces = lengths.flat().map((length, i) => ({ start: i * maxTokens, length }));
      const rowsOfPiece = (start: number, length: number): Int32Array => rowOfToken.subarray(start, start + length);
      let prompt = 0;
      const order = joined(
        lengths.flatMap((group, g) => [
          Int32Array.from({ length: promptLengths[g]! }, () => prompt++),
          ...pieces
            .slice(g * count, g * count + group.length)
            .map(({ start, length }) => rowsOfPiece(start, Math.max(0, length - 1))),
        ]),
      );
      if (order.includes(NOT_COMPUTED)) throw new Error('internal: a token was sampled whose row is not recorded');
      const rowsOfTokens = joined(pieces.map(({ start, length }) => rowsOfPiece(start, length))).map(
        (row) => row - promptRows,
      );
      return {
        layers: between(0, used),
        hidden: rowsOf(hidden, 0, used),
        order,
        masses: new Map(
          [...masses].map(([layer, tensor]) => [
            layer,
            gatherRows(tensor, rowsOfTokens, zeros(rowsOfTokens.length, spans)),
          ]),
        ),
        logps: logps && together(logps, pieces),
      };
    },
  };
}

// --- internal ---

const NOT_COMPUTED = -1;

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);

function joined(parts: readonly Int32Array[]): Int32Array {
  const whole = new Int32Array(sumOf(parts.map(({ length }) => length)));
  let next = 0;
  for (const part of parts) {
    whole.set(part, next);
    next += part.length;
  }
  return whole;
}

/** Moves pieces of a tensor's rows to its front, in order, so that none is overwritten before it has moved. */
function together(tensor: FloatTensor, pieces: readonly { start: number; length: number }[]): FloatTensor {
  const width = tensor.dims[1]!;
  let next = 0;
  for (const { start, length } of pieces) {
    if (start !== next) tensor.data.copyWithin(next * width, start * width, (start + length) * width);
    next += length;
  }
  return rowsOf(tensor, 0, next);
}
