/**
 * Finds the line of a source file that an error speaks of.
 * Knows the shapes of stacks and parser messages, not what went wrong.
 */
import { fileURLToPath } from 'node:url';
import { messageOf } from '../errors.ts';
import { writtenAt } from './function_location.ts';

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

/** `file:line` of the place in a plugin from which this is being called; the file alone if it is none. */
export function placeOfCaller(file: string | undefined): string | undefined {
  return file === undefined ? undefined : placeIn(new Error(), file);
}

/** `file:line` of a reward's `call`, in the plugin or a file that it imports; the plugin alone where the package wrote it. */
export function placeOfCall(reward: { readonly call: unknown }, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const written = writtenAt(reward.call);
  return written === null || written.file.startsWith(PACKAGE) ? file : `${written.file}:${written.line}`;
}

// --- internal ---

/** The folder of this program's own code. */
const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

/** Empty where there is none, or one that throws when it is asked for. */
function stackOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.stack ?? '') : '';
  } catch {
    return '';
  }
}
