/**
 * Finds the boxes in a completion, in the forms that Qwen-VL models write.
 * Knows text, not the unit of the numbers.
 */
import type { Corners } from './overlap.ts';

/**
 * The boxes in a text, in order: `[x1, y1, x2, y2]`, also inside JSON such as `[{"bbox_2d": [1, 2, 3, 4]}]`, and
 * `(x1,y1),(x2,y2)`, the form between `<|box_start|>` and `<|box_end|>`. Corners are not sorted.
 */
export function writtenBoxes(text: string): Corners[] {
  return [...text.matchAll(BOX)].map((match): Corners => {
    const numbers = match.slice(1).filter((part) => part !== undefined);
    return numbers.map(Number) as unknown as Corners; // the pattern has four numbers in each of its forms
  });
}

// --- internal ---

const NUMBER = String.raw`\s{0,9}(-?\d{1,9}(?:\.\d{1,18})?)\s{0,9}`;
const BRACKETS = String.raw`\[${NUMBER},${NUMBER},${NUMBER},${NUMBER}\]`;
const POINTS = String.raw`\(${NUMBER},${NUMBER}\)\s{0,9},\s{0,9}\(${NUMBER},${NUMBER}\)`;
const BOX = new RegExp(`${BRACKETS}|${POINTS}`, 'g');
