/**
 * Finds the source position of a function; after it has returned, no stack trace contains it. Uses the inspector of this
 * process, which is slow, so it is meant for the error that ends a run, not for every step.
 */
import { type Runtime, Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** File and line of a function's first line; null for a function without source, such as a bound one. */
export function functionLocation(fn: unknown): { readonly file: string; readonly line: number } | null {
  const files = new Map<string, string>();
  const session = new Session();
  session.connect();
  try {
    session.on('Debugger.scriptParsed', ({ params }) => files.set(params.scriptId, params.url));
    session.post('Debugger.enable'); // reports every script loaded so far
    const location = locationOf(fn, session);
    const url = location && files.get(location.scriptId);
    if (!location || !url) return null;
    return { file: url.startsWith('file:') ? fileURLToPath(url) : url, line: location.lineNumber + 1 };
  } finally {
    session.disconnect();
  }
}

// --- internal ---

interface Location {
  readonly scriptId: string;
  /** Counted from 0. */
  readonly lineNumber: number;
}

/** Relies on callbacks running before `post` returns, as they do for a session with the own process. */
function locationOf(fn: unknown, session: Session): Location | undefined {
  const handle = Symbol.for('sightline.written_at'); // the inspector can reach the function only through an expression
  const global = globalThis as { [name: symbol]: unknown };
  let objectId: string | undefined;
  let properties: readonly Runtime.InternalPropertyDescriptor[] = [];
  global[handle] = fn;
  session.post('Runtime.evaluate', { expression: `globalThis[Symbol.for('${handle.description}')]` }, (_, answer) => {
    objectId = answer?.result.objectId;
  });
  delete global[handle];
  if (objectId === undefined) return undefined;
  session.post('Runtime.getProperties', { objectId, ownProperties: true }, (_, answer) => {
    properties = answer?.internalProperties ?? [];
  });
  return properties.find(({ name }) => name === '[[FunctionLocation]]')?.value?.value as Location | undefined;
}
