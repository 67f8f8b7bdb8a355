/**
 * Texts that end a completion: `--stop_words`. Knows ids and their text, not how ids are sampled.
 *
 * As ms-swift's `StopWordsCriteria`, it looks for a word anywhere in the last tokens, so a word may begin and end inside
 * tokens. The completion keeps the word, and what its last token has behind it.
 */
import type { Template } from './template.ts';

/** A test whether the newest token completes one of the words; undefined without words. */
export function stopTest(
  words: readonly string[],
  template: Pick<Template, 'decode'>,
): ((ids: readonly number[]) => boolean) | undefined {
  if (words.length === 0) return undefined;
  // Each token has at least one byte of the text. Four more, because the first of them may begin inside a character.
  const tokens = Math.max(...words.map((word) => Buffer.byteLength(word))) + 4;
  return (ids) => {
    const text = template.decode(Int32Array.from(ids.slice(-tokens)), { skipSpecialTokens: false });
    return words.some((word) => text.includes(word));
  };
}
