/**
 * The texts of single tokens.
 */
import type { Template } from '../template/template.ts';

/**
 * Texts of the tokens of a completion, which together are its text. Bytes of a character that several tokens share belong to the last of
 * them.
 *
 * @param options.skipSpecialTokens give control tokens an empty text
 */
export function tokenTexts(
  ids: Int32Array,
  template: Pick<Template, 'streamDecoder'>,
  options: { readonly skipSpecialTokens: boolean },
): string[] {
  const decoder = template.streamDecoder(options);
  const texts = Array.from(ids, (id) => decoder.push(id));
  const rest = decoder.end();
  if (texts.length > 0) texts[texts.length - 1] += rest;
  return texts;
}
