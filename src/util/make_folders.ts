/**
 * Creates a folder with its missing parents. Node's recursive mkdir is no substitute: it never returns where the system
 * refuses a folder with ENOENT, as below /proc.
 */
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Returns the folders it created, the deepest first. On failure it removes them again and throws the system error.
 */
export function makeFolders(path: string): string[] {
  const missing: string[] = [];
  let folder = resolve(path);
  for (; statSync(folder, { throwIfNoEntry: false }) === undefined; folder = dirname(folder)) missing.unshift(folder);
  const made: string[] = [];
  try {
    if (missing.length === 0) makeOne(folder); // throws if a file has that name
    for (const name of missing) if (makeOne(name)) made.unshift(name);
    return made;
  } catch (error) {
    for (const name of made) rmdirSync(name);
    throw error;
  }
}

// --- internal ---

/** False if the folder exists already: another process may have created it meanwhile. */
function makeOne(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return false;
    throw error;
  }
}
