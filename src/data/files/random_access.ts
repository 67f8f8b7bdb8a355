/**
 * Reads pieces of a dataset file at any position, and notices if the file has changed since it was opened.
 * Knows bytes, not formats.
 */
import { closeSync, fstatSync, read as readCallback, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { messageOf, SightlineError } from '../../errors.ts';
import { openRegularFileSync } from '../../util/regular_file.ts';

export interface RandomAccess {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Up to `length` bytes from `position`; fewer only at the end of the file. Error: E_DATASET_CHANGED. */
  read(position: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Closes the file; no read may be in progress. The next read opens the file again. */
  release(): void;
}

/**
 * Opens a dataset file, which must be a regular file.
 * Errors: E_DATASET_MISSING, E_DATASET_UNREADABLE.
 */
export function openRandomAccess(path: string): RandomAccess {
  const first = open(path);
  let fd: number | null = first.fd;
  return {
    path,
    size: first.stat.size,
    read: async (position, length) => {
      fd ??= reopen(path, first.stat);
      const bytes = new Uint8Array(Math.max(0, Math.min(length, first.stat.size - position)));
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await readPart(fd, bytes, filled, bytes.length - filled, position + filled);
        if (bytesRead === 0) throw changed(path);
        filled += bytesRead;
      }
      return bytes;
    },
    release: () => {
      if (fd !== null) closeSync(fd);
      fd = null;
    },
  };
}

// --- internal ---

const readPart = promisify(readCallback);

function open(path: string): { fd: number; stat: Stats } {
  const { fd } = openRegularFileSync(path, {
    missing: (cause) =>
      new SightlineError('E_DATASET_MISSING', `dataset not found: ${path}`, {
        hint: 'give the path of a file or folder; datasets are not downloaded by name',
        cause,
      }),
    unreadable: (cause) =>
      new SightlineError('E_DATASET_UNREADABLE', `dataset cannot be read: ${messageOf(cause)}`, {
        where: path,
        cause,
      }),
    notRegular: (kind) =>
      new SightlineError('E_DATASET_UNREADABLE', `dataset is ${kind}, not a regular file: ${path}`, {
        hint: 'give the path of a JSONL, JSON, CSV, Parquet or Arrow file, or of a folder of them',
      }),
  });
  return { fd, stat: fstatSync(fd) };
}

function reopen(path: string, before: Stats): number {
  const { fd, stat } = open(path);
  if (stat.size === before.size && stat.mtimeMs === before.mtimeMs) return fd;
  closeSync(fd);
  throw changed(path);
}

function changed(path: string): SightlineError {
  return new SightlineError('E_DATASET_CHANGED', 'the file has changed since it was checked', {
    where: path,
    hint: 'start again',
  });
}
