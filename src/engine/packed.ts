/**
 * A packed batch: groups of a prompt and its completions, all rows one after another, no padding anywhere.
 * The prompt of a group lies there once, whatever the number of its completions.
 */
import type { PromptPositions } from '../models/architecture.ts';

/** Rows [start, start + length) of the packed batch. */
export interface Span {
  readonly start: number;
  readonly length: number;
}

export interface PackedGroup {
  readonly prompt: Span;
  readonly completions: readonly Span[];
  /** All completions together: they follow one another. */
  readonly completionRows: Span;
}

export interface PackedBatch {
  readonly rows: number;
  /** [rows] */
  readonly ids: Int32Array;
  /** [3, rows]: temporal, height and width position of each row */
  readonly positions: Int32Array;
  readonly groups: readonly PackedGroup[];
}

export type Ids = Int32Array | readonly number[];

export interface GroupToPack {
  readonly promptIds: Int32Array;
  readonly promptPositions: PromptPositions;
  readonly completions: readonly Ids[];
}

/** Lays groups out as [prompt | c1 | … | cG] one after another. */
export function packGroups(groups: readonly GroupToPack[]): PackedBatch {
  const rows = groups.reduce(
    (total, { promptIds, completions }) =>
      total + promptIds.length + completions.reduce((sum, completion) => sum + completion.length, 0),
    0,
  );
  const ids = new Int32Array(rows);
  const positions = new Int32Array(3 * rows);
  let next = 0;
  const take = (length: number): Span => {
    const span = { start: next, length };
    next += length;
    return span;
  };
  const packed = groups.map(({ promptIds, promptPositions, completions }): PackedGroup => {
    const prompt = take(promptIds.length);
    ids.set(promptIds, prompt.start);
    for (let axis = 0; axis < 3; axis++) {
      const from = promptPositions.positions.subarray(axis * prompt.length, (axis + 1) * prompt.length);
      positions.set(from, axis * rows + prompt.start);
    }
    const first = next;
    const spans = completions.map((completion) => {
      const span = take(completion.length);
      ids.set(completion, span.start);
      for (let axis = 0; axis < 3; axis++) {
        for (let t = 0; t < span.length; t++) {
          positions[axis * rows + span.start + t] = prompt.length + promptPositions.delta + t;
        }
      }
      return span;
    });
    return { prompt, completions: spans, completionRows: { start: first, length: next - first } };
  });
  return { rows, ids, positions, groups: packed };
}

/** Longest completion of a group; 0 for none. */
export const longestCompletion = (group: Pick<PackedGroup, 'completions'>): number =>
  group.completions.reduce((longest, { length }) => Math.max(longest, length), 0);
