/**
 * Fields of CSV files (RFC 4180).
 */

/** A field. A leading sign of a formula is made text, because names come from models and files. */
export function csvText(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
