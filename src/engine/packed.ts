/**
 * A packed batch: the rows of groups, one after another, without padding.
 * A group's prompt is there once, however many completions it has.
 */
import type { CompletionIds, Group, PlacedPrompt } from './groups.ts';

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

/**
 * Lays groups out as [prompt | c1 | … | cG], one after another.
 *
 * @param lastTokens whether completions get a row for their last token. Nothing follows that token, so its row takes part
 * in no log-probability and no gradient; only attention masses are measured on it.
 */
export function packGroups(
  groups: readonly Group<PlacedPrompt, CompletionIds>[],
  { lastTokens }: { readonly lastTokens: boolean },
): PackedBatch {
  const rowsOf = ({ ids }: CompletionIds): number => (lastTokens ? ids.length : Math.max(0, ids.length - 1));
  const rows = groups.reduce(
    (total, { prompt, completions }) =>
      total + prompt.ids.length + completions.reduce((sum, completion) => sum + rowsOf(completion), 0),
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
  const packed = groups.map(({ prompt: placed, completions }): PackedGroup => {
    const prompt = take(placed.ids.length);
    ids.set(placed.ids, prompt.start);
    for (let axis = 0; axis < 3; axis++) {
      const from = placed.positions.positions.subarray(axis * prompt.length, (axis + 1) * prompt.length);
      positions.set(from, axis * rows + prompt.start);
    }
    const first = next;
    const spans = completions.map((completion) => {
      const span = take(rowsOf(completion));
      ids.set(completion.ids.slice(0, span.length), span.start);
      for (let axis = 0; axis < 3; axis++) {
        for (let t = 0; t < span.length; t++) {
          positions[axis * rows + span.start + t] = prompt.length + placed.positions.delta + t;
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
