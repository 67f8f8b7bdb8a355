/**
 * Finds the line of a source file that an error speaks of.
 * Knows the shapes of stacks and parser messages, not what went wrong.
 */

/** `file:line:column` as it stands in a stack or a parser's message; the file alone if there is no line. */
export function placeIn(error: unknown, file: string): string {
  const text = error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error);
  const at = text.indexOf(`${file}:`);
  const line = at < 0 ? null : /^:\d+(?::\d+)?/.exec(text.slice(at + file.length));
  return line ? file + line[0] : file;
}
