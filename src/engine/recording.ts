/**
 * Records rows while completions are sampled: the attention masses that are measured of them, and what backward needs. That
 * is each block's input and attention result, and the results of its products unless backward computes these again.
 * Rows lie in the order in which they are computed, the prompts' first. A decode step writes them where they will stay; once
 * the completions have ended, `finish` works out which row belongs to which token.
 */

import type { TextConfig } from '../models/architecture.ts';
import { type FloatTensor, rows as rowsHere, type Tensor, zeros } from '../runtime/tensor.ts';
import { counting, joined } from '../util/index_lists.ts';
import { createLayerTape, type LayerTape, mapTape } from './layer_tape.ts';
import type { RecordedLogps } from './scoring.ts';
import type { WorkingMemory } from './working_memory.ts';

export interface RecordingShape {
  readonly promptLengths: readonly number[];
  /** Completions of each prompt, and the tokens that each may grow to. */
  readonly count: number;
  readonly maxTokens: number;
  /** Tokens that may be computed at every place; some turn out to come after a completion's last one. */
  readonly steps: number;
  /** Layers whose attention masses are measured, and the number of spans. */
  readonly probedLayers: readonly number[];
  readonly spans: number;
  /** Attention masses alone; or also rows for backward; or also results of products. */
  readonly keeps: 'masses' | 'rows' | 'products';
  /** With rows, log-probabilities of all tokens at each draw are kept if they take at most so many bytes. */
  readonly logpsBytes: number;
}

/** What a recording holds when the completions have ended. */
export interface Recorded {
  /** Layer -> [tokens of completions, spans] */
  readonly masses: ReadonlyMap<number, FloatTensor>;
  readonly rows: RecordedRows | null;
}

export interface RecordedRows {
  /** All rows, in the order in which they were computed. */
  readonly layers: readonly LayerTape[];
  /** Output of the last block for the same rows; of a prompt, only the last row is set. */
  readonly hidden: Tensor;
  /** For each row of a packed batch without rows of last tokens, its index among these: [rows]. */
  readonly order: Int32Array;
  readonly logps: RecordedLogps | null;
}

export interface Recording {
  readonly keeps: RecordingShape['keeps'];
  /** Whether log-probabilities of all tokens are kept. */
  readonly logps: boolean;
  /** Memory for all rows; none where masses alone are kept. */
  readonly layers: readonly LayerTape[];
  /** Rows of all prompts, one prompt after another; the forward over the prompts writes them. */
  readonly promptLayers: readonly LayerTape[];
  /** Takes the output of the last layer for each prompt's last row: [prompts, hidden]. */
  promptsHidden(hidden: Tensor): Promise<void>;
  /** Allocates rows of one token at so many places; a decode step writes them. */
  open(places: number): TokenRows;
  /** Assigns row `place` of these to a token. */
  stands(token: RecordedToken, rows: TokenRows, place: number): void;
  /** Takes the log-probabilities that tokens were drawn from: rows `places` of [places, vocab]. */
  drawn(tokens: readonly RecordedToken[], logps: Tensor, places: Int32Array): Promise<void>;
  /**
   * Puts the rows of all tokens together. Call it once, when the completions have ended.
   *
   * @param lengths in tokens, per group, per completion
   */
  finish(lengths: readonly (readonly number[])[]): Promise<Recorded>;
}

/** Memory for one token of every place. */
export interface TokenRows {
  /** Index of the first of these rows among all. */
  readonly first: number;
  readonly layers: readonly LayerTape[];
  /** Output of the last layer [places, hidden]; null where no rows are kept. */
  readonly hidden: Tensor | null;
  /** Probed layer -> [places, spans] */
  readonly masses: ReadonlyMap<number, FloatTensor>;
}

/** Token `t` of a completion. */
export interface RecordedToken {
  readonly group: number;
  readonly completion: number;
  readonly t: number;
}

/** Most rows that a recording may hold. */
export const recordedRows = ({
  promptLengths,
  count,
  steps,
}: Pick<RecordingShape, 'promptLengths' | 'count' | 'steps'>): number =>
  sumOf(promptLengths) + promptLengths.length * count * steps;

export function createRecording(
  config: TextConfig,
  { device, workspace, scratch, moves }: WorkingMemory,
  shape: RecordingShape,
): Recording {
  const { promptLengths, count, maxTokens, steps, probedLayers, spans, keeps, logpsBytes } = shape;
  const { hiddenSize, numHiddenLayers, vocabSize } = config;
  const taped = keeps !== 'masses';
  const completions = promptLengths.length * count;
  const promptRows = sumOf(promptLengths);
  const capacity = recordedRows(shape);
  const buffer = (name: string, width: number): Tensor => workspace.get(`recorded.${name}`, capacity, width);
  const layers = Array.from({ length: taped ? numHiddenLayers : 0 }, (_, layer) =>
    createLayerTape(config, (name, width) => buffer(`${layer}.${name}`, width), keeps === 'products'),
  );
  const between = (start: number, end: number): LayerTape[] =>
    layers.map((layer) => mapTape(layer, (_, tensor) => device.rows(tensor, start, end)));
  const hidden = taped ? buffer('hidden', hiddenSize) : null;
  const masses = new Map<number, FloatTensor>(
    probedLayers.map((layer) => [layer, scratch.get(`recorded.${layer}.masses`, completions * steps, spans)]),
  );
  const tokens = completions * maxTokens;
  const keepsLogps = taped && 4 * tokens * vocabSize <= logpsBytes;
  const logps = keepsLogps ? workspace.get('recorded.logps', tokens, vocabSize) : null;

  const indexOf = ({ group, completion, t }: RecordedToken): number => (group * count + completion) * maxTokens + t;
  /** Row of each token, in the order of completions of full length. */
  const rowOfToken = new Int32Array(tokens).fill(NOT_COMPUTED);
  let used = promptRows;

  const piecesOf = (lengths: readonly (readonly number[])[]): { start: number; length: number }[] =>
    lengths.flat().map((length, i) => ({ start: i * maxTokens, length }));
  const rowsOfPiece = (start: number, length: number): Int32Array => rowOfToken.subarray(start, start + length);

  function finishRows(hidden: Tensor, lengths: readonly (readonly number[])[]): RecordedRows {
    const pieces = piecesOf(lengths);
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
    return {
      layers: between(0, used),
      hidden: device.rows(hidden, 0, used),
      order,
      logps: logps && { rows: logps, order: joined(pieces.map(({ start, length }) => counting(length, start))) },
    };
  }

  return {
    keeps,
    logps: keepsLogps,
    layers,
    promptLayers: between(0, promptRows),
    async promptsHidden(rows) {
      if (hidden === null) throw new Error('internal: this recording keeps no rows');
      const lastRows = Int32Array.from(promptLengths, (_, g) => sumOf(promptLengths.slice(0, g + 1)) - 1);
      await moves.put(rows, lastRows, hidden);
    },
    open(places) {
      const [first, end] = [used, used + places];
      used = end;
      return {
        first,
        layers: between(first, end),
        hidden: hidden && device.rows(hidden, first, end),
        masses: new Map(
          [...masses].map(([layer, tensor]) => [layer, rowsHere(tensor, first - promptRows, end - promptRows)]),
        ),
      };
    },
    stands(token, rows, place) {
      rowOfToken[indexOf(token)] = rows.first + place;
    },
    async drawn(tokens, rows, places) {
      if (logps === null) throw new Error('internal: this recording keeps no log-probabilities');
      await moves.copy(rows, places, logps, Int32Array.from(tokens, indexOf));
    },
    async finish(lengths) {
      // Rows of last tokens are computed only where masses are measured.
      const measured =
        masses.size === 0 ? [] : piecesOf(lengths).map(({ start, length }) => rowsOfPiece(start, length));
      const rowsMeasured = joined(measured).map((row) => row - promptRows);
      if (rowsMeasured.some((row) => row < 0)) throw new Error('internal: a token was sampled that was not measured');
      const measuresOf = (tensor: FloatTensor): FloatTensor => {
        const picked = zeros(rowsMeasured.length, spans);
        for (const [i, row] of rowsMeasured.entries()) picked.data.set(rowsHere(tensor, row, row + 1).data, i * spans);
        return picked;
      };
      return {
        masses: new Map([...masses].map(([layer, tensor]) => [layer, measuresOf(tensor)])),
        rows: hidden && finishRows(hidden, lengths),
      };
    },
  };
}

// --- internal ---

const NOT_COMPUTED = -1;

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);
