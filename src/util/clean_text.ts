/**
 * Text of others made fit for a terminal.
 */

/**
 * The text without anything a terminal would obey: control characters (escape sequences with them), and the Unicode
 * marks that turn the direction of writing. Line breaks stay.
 */
export function cleanText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
