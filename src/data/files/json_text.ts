/**
 * Parses bytes as JSON, with one clear message if they are invalid.
 */
import { messageOf, SightlineError } from '../../errors.ts';

/** Decodes UTF-8. `what` names the bytes in messages. Error: E_DATASET_LINE. */
export function decodeUtf8(bytes: Uint8Array, what: string, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SightlineError('E_DATASET_LINE', `${what} is not valid UTF-8`, {
      where,
      hint: 'save the file as UTF-8',
      cause,
    });
  }
}

/** The JSON value of a row. Error: E_DATASET_LINE. */
export function parseJsonRow(bytes: Uint8Array, what: 'line' | 'row', where: string): unknown {
  const text = decodeUtf8(bytes, `the ${what}`, where);
  try {
    return JSON.parse(text);
  } catch (cause) {
    const bare = /[:[,]\s*-?(NaN|Infinity)\b/.test(text);
    const form = what === 'line' ? 'one JSON object per line; the line may be cut off' : 'a row is a JSON object';
    throw new SightlineError('E_DATASET_LINE', `the ${what} is not valid JSON: ${messageOf(cause)}`, {
      where,
      hint: bare ? 'JSON has no NaN and no Infinity; write null' : form,
      cause,
    });
  }
}
