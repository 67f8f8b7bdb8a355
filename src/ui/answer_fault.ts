/**
 * Why the answer of a completion is not the target, as far as texts can tell. A reward may judge otherwise: 3.0 is 3.
 */
import { answerText } from '../rewards/answer_text.ts';
import { answerTag } from '../rewards/math/extract.ts';

/** A few words; null if the texts agree, in any case of letters, or if there is no target. */
export function answerFault(text: string, solution: string | null, isClipped: boolean | null): string | null {
  if (solution === null) return null;
  if (same(answerText(text), answerText(solution))) return null;
  const isTagged = answerTag(text) !== null || answerTag(solution) === null;
  if (isTagged) return 'not the target';
  return isClipped === true ? 'cut off before its answer' : 'no <answer>';
}

// --- internal ---

const same = (a: string, b: string): boolean => a.trim().toLowerCase() === b.trim().toLowerCase();
