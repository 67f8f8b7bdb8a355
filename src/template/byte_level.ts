/**
 * The byte-level alphabet of GPT-2 style tokenizers: converts token strings to the bytes that they stand for.
 * Holds one fixed table, defined in openai/gpt-2 `src/encoder.py` (bytes_to_unicode).
 */

import { SightlineError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../util/json.ts';

/** The character of each byte. Printable Latin-1 characters stand for themselves, the other bytes, in order, for U+0100 and on. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
})();

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

const BYTE_OF: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
