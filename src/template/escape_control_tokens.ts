/**
 * Keeps text that a user or a model wrote from turning into control tokens on its way through a chat template.
 * Knows strings only: neither ids nor templates.
 */
import { SightlineError } from '../errors.ts';

export interface ControlTokenEscape {
  /** A text as the template may see it: what could become a control token has lost its first character. */
  protect(text: string): string;
  /** Undoes `protect`, in any piece of the rendered text. */
  restore(text: string): string;
}

/**
 * A escape for the texts of one conversation.
 *
 * A control token's first character is replaced by a character of Unicode's private use area that occurs nowhere in
 * `reserved` and `texts`, both where the token is spelled whole and where the end of a text could be the beginning of one
 * (two adjacent texts may spell it together). All other text goes through unchanged, so templates that look at the content
 * see what they expect, and texts without control tokens cost nothing.
 *
 * @param special the control tokens
 * @param texts every text that is not trusted
 * @param reserved trusted text that is rendered along with them (the template's source)
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

  const stand = standIns(starts, [reserved, ...texts]);
  const original = new Map([...stand].map(([from, to]) => [to, from]));
  const pattern = new RegExp(`[${[...original.keys()].join('')}]`, 'g');
  return {
    protect: (text) => {
      let result = '';
      let from = 0;
      for (const at of findAll(text)) {
        result += text.slice(from, at) + stand.get(text[at]!)!;
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

/** For each character, one of the private use area that no text holds. */
function standIns(characters: readonly string[], texts: readonly string[]): Map<string, string> {
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
