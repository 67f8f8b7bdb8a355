/**
 * Makes a folder with its missing parents. Node's recursive mkdir does not: where the system refuses a folder with ENOENT,
 * as below /proc, it never returns.
 */
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Returns the folders it made, the deepest first. Throws the system's error; then none is left.
 */
export function makeFolders(path: string): string[] {
  const missing: string[] = [];
  let folder = resolve(path);
  for (; statSync(folder, { throwIfNoEntry: false }) === undefined; folder = dirname(folder)) missing.unshift(folder);
  const made: string[] = [];
  try {
    if (missing.length === 0) makeOne(folder); // a file of that name is told as one
    for (const name of missing) if (makeOne(name)) made.unshift(name);
    return made;
  } catch (error) {
    for (const name of made) rmdirSync(name);
    throw error;
  }
}

// --- internal ---

/** False if it is there already: somebody else was quicker. */
function makeOne(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return false;
    throw error;
  }
}
