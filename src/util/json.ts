/**
 * JSON values: their types, and how messages show them.
 * Knows values, neither files nor their meaning.
 */

/** A value that survives JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** The value after a round trip through JSON; null for a value that JSON cannot represent. */
export function toJson(value: unknown): Json {
  const text: string | undefined = JSON.stringify(value);
  return text === undefined ? null : (JSON.parse(text) as Json);
}

export type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as an error message shows it: short, on one line, with its kind. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  const kind = Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `the ${typeof value}`;
  return `${kind} ${shownJson(value, 60)}`;
}

/** A value as JSON on one line, cut to `length` characters; `...` for a value that cannot be serialised (a cycle). */
export function shownJson(value: unknown, length: number): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    return '...';
  }
  const short = text.length > length ? `${text.slice(0, length - 3)}...` : text;
  // JSON escapes most control characters as \\u...; it leaves these unescaped.
  return short.replace(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}
