/**
 * What attention's modules are fed for the rows of a packed batch: whole prompts, and completions that share a prompt.
 */
import type { Device } from '../runtime/device.ts';
import { type FloatTensor, floats, ints, type Tensor } from '../runtime/tensor.ts';
import { counting } from '../util/index_lists.ts';
import { longestCompletion, type PackedGroup, type Span } from './packed.ts';

export interface Projections {
  /** [N, heads * d], [N, kvHeads * d], [N, kvHeads * d] */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Spans to measure in one group. */
export interface Measured {
  readonly spans: number;
  /** Of the prompt's columns: [columns, spans]. */
  readonly indicator: Float32Array;
  /** Written by the run: [completion rows, spans]. */
  readonly masses: FloatTensor;
}

/** Gives the rows of a span. */
export type Cut = (tensor: Tensor, span: Span) => Tensor;

export const cutOn =
  (device: Device): Cut =>
  (tensor, { start, length }) =>
    device.rows(tensor, start, start + length);

export const vector = (data: Int32Array): Tensor => ints(data, [data.length]);

/** Positions of columns: -1 for a prefix that every row sees, then 0, 1, 2, … */
export function columnPositions(prefix: number, own: number): Tensor {
  const positions = new Int32Array(prefix + own).fill(-1, 0, prefix);
  for (let i = 0; i < own; i++) positions[prefix + i] = i;
  return vector(positions);
}

export function causalFeeds(prompt: Span, { q, k, v }: Projections, cut: Cut): Record<string, Tensor> {
  const positions = vector(counting(prompt.length));
  return {
    q: cut(q, prompt),
    k: cut(k, prompt),
    v: cut(v, prompt),
    rowPositions: positions,
    columnPositions: positions,
  };
}

export function sharedFeeds(group: PackedGroup, { q, k, v }: Projections, cut: Cut): Record<string, Tensor> {
  const { prompt, completions, completionRows } = group;
  const longest = longestCompletion(group);
  // Gaps of the rectangle hold row 0; their results are computed and never read.
  const filled = new Float32Array(completions.length * longest);
  const index = new Int32Array(completions.length * longest);
  const inverse = new Int32Array(completionRows.length);
  completions.forEach(({ start, length }, i) => {
    for (let t = 0; t < length; t++) {
      index[i * longest + t] = start - completionRows.start + t;
      filled[i * longest + t] = 1;
      inverse[start - completionRows.start + t] = i * longest + t;
    }
  });
  return {
    q: cut(q, completionRows),
    k: cut(k, completionRows),
    v: cut(v, completionRows),
    kPrefix: cut(k, prompt),
    vPrefix: cut(v, prompt),
    index: ints(index, [completions.length, longest]),
    filled: floats(filled, [completions.length, longest]),
    inverse: vector(inverse),
    rowPositions: vector(counting(longest)),
    columnPositions: columnPositions(prompt.length, longest),
  };
}

export function sharedIndicator(group: PackedGroup, measured: Measured | undefined): Record<string, Tensor> {
  if (measured === undefined) return {};
  const columns = group.prompt.length + longestCompletion(group);
  return { indicator: indicatorTensor(measured, columns) };
}

/** The prompt's indicator, with zeros for the completion's own columns. */
export function indicatorTensor({ spans, indicator }: Measured, columns: number): FloatTensor {
  const data = new Float32Array(columns * spans);
  data.set(indicator);
  return floats(data, [columns, spans]);
}
