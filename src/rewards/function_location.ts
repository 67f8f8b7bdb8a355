/**
 * Where a function was written, which no stack tells once it has returned. Asks the inspector of this very process, so it is
 * for the last word about a run, not for every step.
 */
import { type Runtime, Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** `file:line` of a function's first line; null for one without source, such as a bound one. */
export function writtenAt(of: unknown): { readonly file: string; readonly line: number } | null {
  const files = new Map<string, string>();
  const session = new Session();
  session.connect();
  try {
    session.on('Debugger.scriptParsed', ({ params }) => files.set(params.scriptId, params.url));
    session.post('Debugger.enable'); // tells of every script so far
    const location = locationOf(of, session);
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
  /** From 0. */
  readonly lineNumber: number;
}

/** Answers to a session of one's own process come before `post` returns. */
function locationOf(of: unknown, session: Session): Location | undefined {
  const handle = Symbol.for('sightline.written_at'); // the inspector takes a value by an expression only
  const global = globalThis as { [name: symbol]: unknown };
  let objectId: string | undefined;
  let properties: readonly Runtime.InternalPropertyDescriptor[] = [];
  global[handle] = of;
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
