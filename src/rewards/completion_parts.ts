/**
 * The parts of a completion that stand in tags: what was thought, and the answer. Knows texts of tokens, not what they mean.
 */
import type { TokenRange } from '../attention/spans/measure.ts';
import { answerSpan } from './answer_text.ts';
import type { Characters } from './math/extract.ts';

/**
 * The tokens of the thoughts, the text in the first `<think>` block (one that is not closed ends at `<answer>` or with the completion);
 * null without one. And those of the answer: the text in the first `<answer>` block; without one, the text after the last
 * `</think>`; else the whole completion; null if it is empty. A token belongs to a part if any of its characters does; white space at
 * the ends of a part does not.
 *
 * @param texts of the tokens, which together are the completion
 */
export function completionParts(texts: readonly string[]): Record<'think' | 'answer', TokenRange | null> {
  const whole = texts.join('');
  return {
    think: tokensIn(texts, trimmed(whole, thinkSpan(whole))),
    answer: tokensIn(texts, trimmed(whole, answerSpan(whole))),
  };
}

// --- internal ---

function thinkSpan(text: string): Characters | null {
  const open = text.indexOf('<think>');
  if (open < 0) return null;
  const start = open + '<think>'.length;
  const ends = ['</think>', '<answer>'].map((tag) => text.indexOf(tag, start)).filter((end) => end >= 0);
  return [start, Math.min(text.length, ...ends)];
}

function trimmed(text: string, part: Characters | null): Characters | null {
  if (part === null) return null;
  const inner = text.slice(...part);
  const start = part[0] + (inner.length - inner.trimStart().length);
  return [start, start + inner.trim().length];
}

function tokensIn(texts: readonly string[], part: Characters | null): TokenRange | null {
  if (part === null || part[0] === part[1]) return null;
  let position = 0;
  let [from, to] = [-1, -1];
  for (const [token, text] of texts.entries()) {
    const end = position + text.length;
    if (text.length > 0 && position < part[1] && end > part[0]) {
      if (from < 0) from = token;
      to = token + 1;
    }
    position = end;
  }
  return from < 0 ? null : { from, to };
}
