/**
 * Keeps text written by a user or a model from becoming control tokens when a chat template renders it.
 * Knows strings only, neither ids nor templates.
 */
import { SightlineError } from '../errors.ts';

export interface ControlTokenEscape {
  /** Replaces the first character of everything in a text that could become a control token. */
  protect(text: string): string;
  /** Undoes `protect` in any piece of the rendered text. */
  restore(text: string): string;
}

/**
 * Makes an escape for the texts of one conversation.
 *
 * It replaces the first character of a control token by a character of Unicode's private use area that does not occur in
 * `reserved` or `texts`. It does so where a token is spelled in full, and where the end of a text could be the beginning of
 * one, because two adjacent texts may spell it together. All other text stays unchanged, so templates that inspect the
 * content see what they expect, and texts without control tokens cost nothing.
 *
 * @param special the control tokens
 * @param texts all untrusted texts
 * @param reserved trusted text that is rendered along with them: the template's source
 * Error: E_TEXT_UNSUPPORTED if no private-use character is left.
 */
export function createControlTokenEscape(
  special: readonly string[],
  texts: readonly string[],
  reserved: string,
): ControlTokenEscape {
  const starts = [...new Set(special.map((token) => token.slice(0, 1)))];
  const isDangerous = (text: string, at: number, end: number): boolean =>
    special.some(
      (token) => text.startsWith(token, at) || (end - at < token.length && token.startsWith(text.slice(at, end))),
    );
  const findAll = (text: string): number[] => {
    const end = text.trimEnd().length; // templates may trim
    return starts
      .flatMap((start) => positionsOf(text, start))
      .filter((at) => at < end && isDangerous(text, at, end))
      .sort((a, b) => a - b);
  };
  if (!texts.some((text) => findAll(text).length > 0)) return { protect: (text) => text, restore: (text) => text };

  const substitutes = unusedCharacters(starts, [reserved, ...texts]);
  const original = new Map([...substitutes].map(([from, to]) => [to, from]));
  const pattern = new RegExp(`[${[...original.keys()].join('')}]`, 'g');
  return {
    protect: (text) => {
      let result = '';
      let from = 0;
      for (const at of findAll(text)) {
        result += text.slice(from, at) + substitutes.get(text[at]!)!;
        from = at + 1;
      }
      return result + text.slice(from);
    },
    restore: (text) => text.replace(pattern, (character) => original.get(character)!),
  };
}

// --- internal ---

const PRIVATE_USE = { first: 0xe000, last: 0xf8ff };

function positionsOf(text: string, character: string): number[] {
  const found: number[] = [];
  for (let at = text.indexOf(character); at !== -1; at = text.indexOf(character, at + 1)) found.push(at);
  return found;
}

/** Maps each character to one of the private use area that does not occur in the texts. */
function unusedCharacters(characters: readonly string[], texts: readonly string[]): Map<string, string> {
  const used = new Set(texts.flatMap((text) => text.match(/[\uE000-\uF8FF]/g) ?? []));
  const result = new Map<string, string>();
  let code = PRIVATE_USE.first;
  for (const character of characters) {
    while (used.has(String.fromCharCode(code))) code++;
    if (code > PRIVATE_USE.last) {
      throw new SightlineError(
        'E_TEXT_UNSUPPORTED',
        'a text spells a control token and uses every private-use character',
        {
          hint: 'remove the private-use characters (U+E000 to U+F8FF) from the text',
        },
      );
    }
    result.set(character, String.fromCharCode(code++));
  }
  return result;
}
