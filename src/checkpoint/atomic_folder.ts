/**
 * Writes a folder so that its name only ever stands for the whole of it: built beside, fsynced, renamed.
 * Knows nothing of what is inside.
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
  /** Replace a folder of that name; without it, one that exists is an error. */
  readonly overwrite?: boolean;
}

/**
 * Calls `fill` with an empty folder beside `dir`, makes its files durable, and renames it to `dir`. If anything fails, the folder
 * beside is removed and `dir` is as it was.
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
      // A folder with entries cannot be renamed over. Between the two renames the name stands for nothing, never for a half.
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
    const place = { where: target, exitCode: 1 };
    throw explainDisk(error, 'E_SAVE_FAILED', 'the folder cannot be written', place);
  }
}

/** The hidden name beside a folder under which this process builds it, or takes it away: `tag` says which of these. */
export function besideFolder(target: string, tag: string): string {
  return join(dirname(target), `.${basename(target)}.partial-${process.pid}-${HOST}-${tag}`);
}

/**
 * Removes what killed processes of this machine left in a folder; of other machines nothing is known. What cannot be
 * removed stays: it is in nobody's way.
 */
export function sweepLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, of, pid, host, tag] = /^\.(.+)\.partial-(\d+)-([0-9a-f]{8})-(.+)$/.exec(name) ?? [];
    if (of === undefined || host !== HOST || isAlive(Number(pid))) continue;
    // Killed between two renames, the older folder is the only one there is.
    if (tag!.endsWith(REPLACED) && !existsSync(join(folder, of))) continue;
    try {
      rmSync(join(folder, name), { recursive: true, force: true });
    } catch {}
  }
}

// --- internal ---

/** This machine, in names that other machines may see on a shared disk: process ids are its own. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** Ends the name of a folder that makes room for the new one. */
const REPLACED = '-replaced';

/** Folders that a killed process left beside this target. */
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
  // Windows cannot open a folder to sync it; there the rename is as durable as the file system makes it.
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
