/**
 * Finds the answer in a completion: its <answer> block, or the text after its thoughts.
 */
import { answerTag } from './math/extract.ts';

/** The text in the first `<answer>` block; without one, the text after the last `</think>`; else the whole text. Trimmed. */
export function answerText(completion: string): string {
  const tagged = answerTag(completion);
  if (tagged !== null) return tagged;
  const end = completion.lastIndexOf(THOUGHTS_END);
  return (end < 0 ? completion : completion.slice(end + THOUGHTS_END.length)).trim();
}

// --- internal ---

const THOUGHTS_END = '</think>';
