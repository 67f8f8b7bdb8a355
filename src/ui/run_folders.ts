/**
 * Finds the folders of runs below the folders that the user has named.
 */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import type { Fence } from './inside.ts';

export interface RunFolder {
  readonly id: string;
  readonly name: string;
  /** Real path. */
  readonly path: string;
}

/** Every folder with a log of a run, by name. Links are not followed; folders of checkpoints are not entered. */
export async function findRuns(fence: Fence): Promise<RunFolder[]> {
  const found: RunFolder[] = [];
  for (const root of fence.roots) await search(root, root, 0, found);
  const unique = new Map(found.map((run) => [run.id, run]));
  return [...unique.values()].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

// --- internal ---

const LOGS = new Set(['logging.jsonl', 'completions.jsonl']);
/** ms-swift and sightline nest a run one level below --output_dir; a user may sort these folders into others. */
const DEPTH = 4;
const NOT_ENTERED = /^(?:\.|checkpoint-|node_modules$|images$|attention$)/;

async function search(root: string, path: string, depth: number, found: RunFolder[]): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  if (entries.some((entry) => entry.isFile() && LOGS.has(entry.name))) {
    found.push({ id: idOf(path), name: relative(root, path) || basename(path), path });
  }
  if (depth >= DEPTH) return;
  for (const entry of entries) {
    if (entry.isDirectory() && !NOT_ENTERED.test(entry.name))
      await search(root, join(path, entry.name), depth + 1, found);
  }
}

function idOf(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 12);
}
