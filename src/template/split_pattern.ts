/**
 * The regular expressions that a tokenizer may split text with. Only known ones are accepted, because a malicious expression
 * such as `(a|a)*b` takes years for thirty letters and cannot be interrupted. The known ones take linear time.
 */

import { SightlineError } from '../errors.ts';
import { type JsonObject, shownJson } from '../util/json.ts';

/** The expression of Qwen2, all of its successors, and this project's own tokenizers. */
export const QWEN2_SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const KNOWN: ReadonlySet<unknown> = new Set([
  QWEN2_SPLIT,
  // GPT-2 and tokenizers derived from it.
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
]);

/** Error: E_TOKENIZER_UNSUPPORTED if a tokenizer.json has any other expression, at any depth. */
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
          `the tokenizer splits text by ${shownJson(inner, 80)}; only the expressions of Qwen2 and GPT-2 are supported`,
          { where, hint: 'use the tokenizer files of a Qwen-VL checkpoint' },
        );
      }
      left.push(inner);
    }
  }
}
