/**
 * The files of this repository, as a check of the whole needs them.
 * Knows which folders hold what was made or fetched; knows nothing of what files contain.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repositoryRoot: string = fileURLToPath(new URL('../..', import.meta.url));

/** What .gitignore names, and git's own folder. */
const made = new Set(['.git', 'node_modules', 'dist', 'output', 'coverage', '.venv']);

/** Paths below `folder`, relative to the root, with `/`, sorted; made and fetched files left out. */
export function repositoryFiles(folder = ''): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(repositoryRoot, folder), { withFileTypes: true })) {
    if (made.has(entry.name) || entry.name.endsWith('.tsbuildinfo')) continue;
    const path = join(folder, entry.name).split(sep).join('/');
    if (entry.isDirectory()) found.push(...repositoryFiles(path));
    else if (entry.isFile()) found.push(path);
  }
  return found.sort();
}

export function readRepositoryFile(path: string): Buffer {
  return readFileSync(join(repositoryRoot, path));
}
