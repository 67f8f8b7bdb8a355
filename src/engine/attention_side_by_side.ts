/**
 * Joins short sequences into one attention product, where that pays. Knows lengths, not tensors.
 */
import type { PackedGroup, Span } from './packed.ts';

/** Scores per head that a rectangle of sequences may have, padding included: bounds its memory. */
const RECTANGLE_SCORES = 2 ** 20;
/** How many times the scores of its sequences a rectangle may have. */
const MOST_PADDING = 2;

/**
 * The groups as attention runs them. A prompt alone, or with one completion right behind it, is one causal sequence.
 * Neighbouring sequences of that kind become completions of an empty prompt, which one run computes side by side.
 */
export function sideBySide(groups: readonly PackedGroup[]): PackedGroup[] {
  const runs: PackedGroup[] = [];
  let waiting: Span[] = [];
  let longest = 0;
  let scores = 0; // of the sequences themselves, padding left out
  const flush = (): void => {
    const [first] = waiting;
    if (first === undefined) return;
    const length = waiting.reduce((sum, span) => sum + span.length, 0);
    const end = first.start + length;
    runs.push(
      waiting.length === 1
        ? { prompt: first, completions: [], completionRows: { start: end, length: 0 } }
        : {
            prompt: { start: first.start, length: 0 },
            completions: waiting,
            completionRows: { start: first.start, length },
          },
    );
    waiting = [];
    longest = 0;
    scores = 0;
  };
  for (const group of groups) {
    if (group.completions.length > 1) {
      flush();
      runs.push(group);
      continue;
    }
    const length = group.prompt.length + group.completionRows.length;
    const rectangle = (waiting.length + 1) * Math.max(longest, length) ** 2;
    if (rectangle > RECTANGLE_SCORES || rectangle > MOST_PADDING * (scores + length ** 2)) flush();
    waiting.push({ start: group.prompt.start, length });
    longest = Math.max(longest, length);
    scores += length ** 2;
  }
  flush();
  return runs;
}
