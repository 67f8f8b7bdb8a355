/**
 * Detects texts that cannot fit before they are rendered and tokenized as a whole, which takes seconds per megabyte and cannot
 * be interrupted. Knows lengths; the caller sets the limit.
 */
import { createPause } from '../util/event_loop.ts';

/** Characters tokenized at a time, which takes about 50 ms. */
const PIECE = 16_384;
/** Texts up to this many characters are not checked. */
const SHORT = 65_536;
/** Average number of characters of a token in ordinary text. */
const CHARACTERS_PER_TOKEN = 4;

/**
 * Whether texts have more than 2 * `limit` tokens. Counts them piece by piece and lets the event loop run between pieces. A
 * cut can add a token or two to the count, hence the factor 2.
 *
 * @param limit number of tokens allowed
 * @param count returns the number of tokens of a text
 */
export async function isFarTooLong(
  texts: readonly string[],
  limit: number,
  count: (text: string) => number,
): Promise<boolean> {
  const length = texts.reduce((sum, text) => sum + text.length, 0);
  if (length <= Math.max(SHORT, CHARACTERS_PER_TOKEN * limit)) return false;
  const pause = createPause();
  let tokens = 0;
  for (const text of texts) {
    for (let from = 0; from < text.length; from += PIECE) {
      await pause();
      tokens += count(text.slice(from, from + PIECE));
      if (tokens > 2 * limit) return true;
    }
  }
  return false;
}
