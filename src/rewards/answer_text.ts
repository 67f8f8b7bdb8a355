/**
 * Finds the answer in a completion: its <answer> block, or the text after its thoughts.
 */
import { answerBlock, type Characters } from './math/extract.ts';

/** The text in the first `<answer>` block; without one, the text after the last `</think>`; else the whole text. Trimmed. */
export function answerText(completion: string): string {
  return completion.slice(...answerSpan(completion)).trim();
}

/** Where this text is, with the white space around it. */
export function answerSpan(completion: string): Characters {
  const tagged = answerBlock(completion);
  if (tagged !== null) return tagged;
  const end = completion.lastIndexOf(THOUGHTS_END);
  return [end < 0 ? 0 : end + THOUGHTS_END.length, completion.length];
}

// --- internal ---

const THOUGHTS_END = '</think>';
