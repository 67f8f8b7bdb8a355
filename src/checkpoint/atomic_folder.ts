/**
 * Writes a folder so that under its name there is never half a folder: it is built under another name, fsynced and renamed.
 * Knows nothing about its contents.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { explainDisk, SightlineError } from '../errors.ts';
import { isAlive } from '../util/is_alive.ts';
import { makeFolders } from '../util/make_folders.ts';

export interface AtomicFolderOptions {
  /** Replace an existing folder; default: an existing folder is an error. */
  readonly overwrite?: boolean;
}

/**
 * Calls `fill` with an empty folder next to `dir`, flushes its files to disk, and renames it to `dir`. On failure that folder
 * is removed and `dir` stays as it was.
 *
 * Errors: E_OUTPUT_EXISTS, E_SAVE_FAILED (disk full, no permission, ... with the path).
 */
export async function writeFolderAtomically(
  dir: string,
  fill: (folder: string) => Promise<void>,
  { overwrite = false }: AtomicFolderOptions = {},
): Promise<void> {
  const target = resolve(dir);
  const exists = (): boolean => existsSync(target);
  if (exists() && !overwrite) throw alreadyThere(target);
  const parent = dirname(target);
  const tag = randomBytes(4).toString('hex');
  const partial = besideFolder(target, tag);
  try {
    makeFolders(parent);
    await removeLeftovers(target);
    await mkdir(partial);
    await fill(partial);
    await syncTree(partial);
    if (exists()) {
      if (!overwrite) throw alreadyThere(target);
      // A rename cannot replace a folder with entries. Between the two renames `dir` does not exist; it is never incomplete.
      const old = besideFolder(target, `${tag}${REPLACED}`);
      await rename(target, old);
      await rename(partial, target);
      await rm(old, { recursive: true, force: true });
    } else {
      await rename(partial, target);
    }
    await syncPath(parent);
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw explainDisk(error, 'E_SAVE_FAILED', 'the folder cannot be written', { where: target, exitCode: 1 });
  }
}

/** The hidden name, in the same parent folder, under which this process builds a folder or moves it away. `tag` tells which. */
export function besideFolder(target: string, tag: string): string {
  return join(dirname(target), `.${basename(target)}.partial-${process.pid}-${HOST}-${tag}`);
}

/**
 * Removes the leftovers of killed processes of this machine from a folder; processes of other machines may still run. A
 * leftover that cannot be removed stays; it does no harm.
 */
export function sweepLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, of, pid, host, tag] = /^\.(.+)\.partial-(\d+)-([0-9a-f]{8})-(.+)$/.exec(name) ?? [];
    if (of === undefined || host !== HOST || isAlive(Number(pid))) continue;
    // If the process was killed between the two renames, the old folder is the only copy.
    if (tag!.endsWith(REPLACED) && !existsSync(join(folder, of))) continue;
    try {
      rmSync(join(folder, name), { recursive: true, force: true });
    } catch {}
  }
}

// --- internal ---

/** Identifies this machine in names on shared disks, because process ids are only valid on one machine. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** Suffix of an old folder that is moved away for the new one. */
const REPLACED = '-replaced';

/** Removes the folders that killed processes left next to this target. */
async function removeLeftovers(target: string): Promise<void> {
  const prefix = `.${basename(target)}.partial-`;
  for (const name of await readdir(dirname(target))) {
    if (!name.startsWith(prefix)) continue;
    if (isAlive(Number.parseInt(name.slice(prefix.length), 10))) continue;
    await rm(join(dirname(target), name), { recursive: true, force: true });
  }
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else await syncPath(path);
  }
  await syncPath(folder);
}

async function syncPath(path: string): Promise<void> {
  // Windows cannot open a folder to sync it; durability of the rename is left to its file system.
  const handle = await open(path, 'r').catch((error: unknown) => {
    if (process.platform === 'win32') return null;
    throw error;
  });
  try {
    await handle?.sync();
  } catch (error) {
    if (process.platform !== 'win32') throw error;
  } finally {
    await handle?.close();
  }
}

function alreadyThere(target: string): SightlineError {
  return new SightlineError('E_OUTPUT_EXISTS', 'the folder to write exists already', {
    where: target,
    hint: 'choose another folder, or remove this one',
  });
}
