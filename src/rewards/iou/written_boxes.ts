/**
 * Finds the boxes that a completion writes, in the forms that Qwen-VL models write them.
 * Knows text; not in which unit the numbers are.
 */
import type { Corners } from './overlap.ts';

/**
 * The boxes of a text in their order: `[x1, y1, x2, y2]`, also inside JSON such as `[{"bbox_2d": [1, 2, 3, 4]}]`, and
 * `(x1,y1),(x2,y2)`, as it stands between `<|box_start|>` and `<|box_end|>`. Corners stay as they are written.
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
