/**
 * The byte-level alphabet of GPT-2 style tokenizers: converts token strings to the bytes that they stand for.
 * Holds one fixed table, defined in openai/gpt-2 `src/encoder.py` (bytes_to_unicode).
 */

import { SightlineError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../util/json.ts';

/**
 * Returns a function from a token's string to its bytes, for a tokenizer.json whose decoder is ByteLevel.
 * Characters outside the alphabet become their UTF-8 bytes. Error: E_TOKENIZER_UNSUPPORTED for other decoders.
 */
export function byteTable(json: JsonObject, where: string): (token: string) => Uint8Array {
  const type = isJsonObject(json.decoder) ? json.decoder.type : undefined;
  if (type !== 'ByteLevel') {
    throw new SightlineError(
      'E_TOKENIZER_UNSUPPORTED',
      `the tokenizer's decoder is ${JSON.stringify(type) ?? 'missing'}, expected "ByteLevel"`,
      {
        where,
        hint: 'use the tokenizer files of a Qwen-VL checkpoint',
      },
    );
  }
  return (token) => {
    const bytes: number[] = [];
    for (const character of token) {
      const byte = BYTE_OF.get(character);
      if (byte === undefined) bytes.push(...Buffer.from(character, 'utf8'));
      else bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  };
}

// --- internal ---

/** Printable Latin-1 characters stand for their own byte. The other bytes, in order, are written as U+0100 and following. */
const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const table = new Map<string, number>();
  let shifted = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table.set(String.fromCodePoint(printable ? byte : shifted++), byte);
  }
  return table;
})();
