/**
 * Makes foreign text safe to print on a terminal.
 */

/**
 * Replaces every character that a terminal would act on: control characters (and with them escape sequences) and the
 * Unicode marks that change the writing direction. Line breaks stay.
 */
export function cleanText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern is meant to match control characters
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
