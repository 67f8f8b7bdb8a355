/**
 * Explains unhandled errors, such as a rejected promise without a handler or an exception in a timer. During a run they come
 * from plugins or code that plugins started. Knows stacks, not what to do about a run.
 */
import { fileURLToPath } from 'node:url';
import { messageOf, SightlineError } from '../errors.ts';

/**
 * Makes a SightlineError that names the first stack frame outside of this program. Returns null if the program itself threw the
 * error, which is a bug of ours.
 */
export function strayFault(thrown: unknown): SightlineError | null {
  const places = thrown instanceof Error ? placesIn(thrown.stack ?? '') : [];
  const place = places.find(({ file }) => !file.includes(INSTALLED) || file.startsWith(OWN));
  if (place?.file.startsWith(OWN)) return null;
  return new SightlineError('E_STRAY_ERROR', `an error was thrown outside of any reward call: ${messageOf(thrown)}`, {
    where: (place ?? places[0])?.text,
    hint: 'a plugin, or code that it started, threw an error outside of its reward call; await its promises, and catch errors in its callbacks',
    exitCode: 1,
    cause: thrown,
  });
}

// --- internal ---

/** Folder of this program's own files, `dist/` or `src/`. */
const OWN = fileURLToPath(new URL('..', import.meta.url));

/** Marks installed packages, which are named only if the stack has no other file. */
const INSTALLED = '/node_modules/';

/** Frames of a stack as `file:line:column`, the innermost first, without those of Node itself. */
function placesIn(stack: string): { file: string; text: string }[] {
  return [...stack.matchAll(/^\s+at (?:.*? \()?(\S.*?):(\d+):(\d+)\)?$/gm)]
    .map(([, file, line, column]) => {
      const path = file!.startsWith('file:') ? fileURLToPath(file!) : file!.replace(/^async /, '');
      return { file: path, text: `${path}:${line}:${column}` };
    })
    .filter(({ file }) => !file.startsWith('node:'));
}
