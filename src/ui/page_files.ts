/**
 * The files of the page, built by `npm run build` from the folder `ui`, held in memory.
 */
import { readFileSync } from 'node:fs';
import { messageOf, SightlineError } from '../errors.ts';

export interface PageFile {
  /** Address on the server. */
  readonly path: string;
  readonly type: string;
  readonly content: Buffer;
}

/** Errors: E_UI_BUILD if the page was not built. */
export function readPageFiles(): readonly PageFile[] {
  return FILES.map(([path, name, type]) => {
    try {
      return { path, type, content: readFileSync(new URL(name, FOLDER)) };
    } catch (cause) {
      throw new SightlineError('E_UI_BUILD', `the page of sightline ui cannot be read: ${messageOf(cause)}`, {
        hint: 'in a clone, run npm run build; otherwise install the package again',
        exitCode: 1,
        cause,
      });
    }
  });
}

// --- internal ---

/** The same folder from `src/ui` and from `dist/ui`. */
const FOLDER = new URL('../../dist/ui/page/', import.meta.url);

const FILES = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/app.js', 'app.js', 'text/javascript; charset=utf-8'],
  ['/app.css', 'app.css', 'text/css; charset=utf-8'],
  ['/icon.svg', 'icon.svg', 'image/svg+xml'],
] as const;
