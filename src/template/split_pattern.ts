/**
 * The regular expressions by which a tokenizer may split text: only known ones, because one can be written that takes
 * years for thirty letters (`(a|a)*b`), and nothing interrupts it. Known ones take time in proportion to the text.
 */

import { SightlineError } from '../errors.ts';
import { type JsonObject, shownJson } from '../util/json.ts';

/** Of Qwen2, all of its successors, and this project's own tokenizers. */
export const QWEN2_SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The second is of GPT-2, which others are made from. */
const KNOWN: ReadonlySet<unknown> = new Set([
  QWEN2_SPLIT,
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
]);

/** Refuses a tokenizer.json with any other expression, wherever it stands. Error: E_TOKENIZER_UNSUPPORTED. */
export function checkSplitPatterns(json: JsonObject, where: string): void {
  const { normalizer, pre_tokenizer, post_processor, decoder } = json;
  const left: unknown[] = [normalizer, pre_tokenizer, post_processor, decoder];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== 'object' || value === null) continue;
    for (const [name, inner] of Object.entries(value)) {
      if (name === 'Regex' && !KNOWN.has(inner)) {
        throw new SightlineError(
          'E_TOKENIZER_UNSUPPORTED',
          `the tokenizer splits text by ${shownJson(inner, 80)}; only the expressions of Qwen2 and GPT-2 are taken`,
          { where, hint: 'use the tokenizer files of a Qwen-VL checkpoint' },
        );
      }
      left.push(inner);
    }
  }
}
