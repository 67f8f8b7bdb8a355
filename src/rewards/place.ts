/**
 * Finds the line of a source file that an error speaks of.
 * Knows the shapes of stacks and parser messages, not what went wrong.
 */
import { messageOf } from '../errors.ts';

/**
 * `file:line` as it stands in a stack or a parser's message; the file alone if there is no line. Plugins run without their
 * types, in lines that are kept and columns that are not: the column of a stack is not that of the file.
 */
export function placeIn(error: unknown, file: string): string {
  const text = `${messageOf(error)}\n${stackOf(error)}`;
  const at = text.indexOf(`${file}:`);
  const line = at < 0 ? null : /^:\d+/.exec(text.slice(at + file.length));
  return line ? file + line[0] : file;
}

// --- internal ---

/** Empty where there is none, or one that throws when it is asked for. */
function stackOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.stack ?? '') : '';
  } catch {
    return '';
  }
}
