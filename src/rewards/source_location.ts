/**
 * Finds the line of a source file that an error refers to.
 * Knows the form of stack traces and parser messages, not the meaning of errors.
 */
import { fileURLToPath } from 'node:url';
import { messageOf } from '../errors.ts';
import { functionLocation } from './function_location.ts';

/**
 * `file:line` from a stack trace or a parser's message; the file alone if neither has a line. The column is left out: plugins
 * run with their types removed, which preserves lines but not columns.
 */
export function locationIn(error: unknown, file: string): string {
  const text = `${messageOf(error)}\n${stackOf(error)}`;
  const at = text.indexOf(`${file}:`);
  const line = at < 0 ? null : /^:\d+/.exec(text.slice(at + file.length));
  return line ? file + line[0] : file;
}

/** `file:line` in a plugin from which this function is being called; the file alone if the plugin is not on the stack. */
export function locationOfCaller(file: string | undefined): string | undefined {
  return file === undefined ? undefined : locationIn(new Error(), file);
}

/** `file:line` of a reward's `call`, in the plugin or a file that it imports; the plugin alone if `call` is the package's own. */
export function locationOfCall(reward: { readonly call: unknown }, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const location = functionLocation(reward.call);
  return location === null || location.file.startsWith(PACKAGE) ? file : `${location.file}:${location.line}`;
}

// --- internal ---

/** The folder of this package's code. */
const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

/** The stack of an error; empty if it has none, or if reading it throws. */
function stackOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.stack ?? '') : '';
  } catch {
    return '';
  }
}
