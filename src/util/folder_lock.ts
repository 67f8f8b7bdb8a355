/**
 * A lock on a folder: a file that names the process that writes there. The lock of a process that has ended is taken over.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './is_alive.ts';

export const LOCK_FILE = '.running';

/** The process that holds a lock. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
}

/** Locks the folder for this process; returns the other process that holds it, or null on success. Throws system errors. */
export function lockFolder(folder: string): LockHolder | null {
  const path = join(folder, LOCK_FILE);
  for (;;) {
    try {
      writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname() } satisfies LockHolder), { flag: 'wx' });
      return null;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const holder = lockHolder(folder);
    if (holder !== null) return holder;
    rmSync(path, { force: true });
  }
}

/** The process that runs in the folder; null if there is none. A process of another machine counts as running. */
export function lockHolder(folder: string): LockHolder | null {
  try {
    const { pid, host } = JSON.parse(readFileSync(join(folder, LOCK_FILE), 'utf8')) as LockHolder;
    const isOurs = pid === process.pid && host === hostname();
    return isOurs || (host === hostname() && !isAlive(pid)) ? null : { pid, host };
  } catch {
    return null; // no lock, or one that was cut off while it was written
  }
}

export function unlockFolder(folder: string): void {
  rmSync(join(folder, LOCK_FILE), { force: true });
}
