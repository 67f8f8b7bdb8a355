/**
 * Finds texts that cannot fit before all of them is rendered and tokenized, which takes seconds a megabyte and cannot be
 * interrupted. Knows lengths; which limit applies is the caller's business.
 */
import { createPause } from '../util/event_loop.ts';

/** Characters tokenized at a time: some 50 ms. */
const PIECE = 16_384;
/** Shorter texts are tokenized at once. */
const SHORT = 65_536;
/** Characters a token has on average, in ordinary text. */
const CHARACTERS_PER_TOKEN = 4;

/**
 * Whether texts have more than twice as many tokens as are allowed, counted in pieces, in which the event loop gets its
 * turns. Where a piece is cut it has a token or two more than the whole text has there, hence twice.
 *
 * @param count tokens of a text
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
