/**
 * What stands where somebody wants a whole file: a file that a rename may replace, or something to be written into as it
 * is. A rename over a link or a device would put a file in its place, which for `/dev/stdout` breaks the machine.
 */
import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

export interface WriteTarget {
  /**
   * `file`: a regular file or nothing yet, which may be replaced whole; `pipe`: a named pipe; `stream`: a device, a
   * socket, or something this process has open already; `folder`: nothing that can be written.
   */
  readonly kind: 'file' | 'pipe' | 'stream' | 'folder';
  /** Where links lead to. */
  readonly path: string;
  /** This process's own descriptor that the path names (`/dev/stdout` is 1), or null. */
  readonly descriptor: number | null;
}

/** Looks through links, also to a file that is not there yet. Throws the system's error where the path leads nowhere. */
export function writeTarget(given: string): WriteTarget {
  let path = resolve(given);
  for (let links = 0; links < MOST_LINKS; links++) {
    path = join(realpathSync(dirname(path)), basename(path));
    const descriptor = DESCRIPTOR.exec(path);
    if (descriptor !== null) {
      const isOwn = descriptor[1] === undefined || Number(descriptor[1]) === process.pid;
      const kind = statSync(path).isFIFO() ? 'pipe' : 'stream';
      return { kind, path, descriptor: isOwn ? Number(descriptor[2]) : null };
    }
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink() !== true) return { kind: kindOf(stats), path, descriptor: null };
    path = resolve(dirname(path), readlinkSync(path));
  }
  throw Object.assign(new Error(`ELOOP: too many symbolic links: ${given}`), { code: 'ELOOP', syscall: 'readlink' });
}

// --- internal ---

/** As many as Linux follows. */
const MOST_LINKS = 40;

/** What /dev/stdout and /dev/fd/N lead to: links whose text names no file. */
const DESCRIPTOR = /^\/(?:proc\/(\d+)(?:\/task\/\d+)?|dev)\/fd\/(\d+)$/;

function kindOf(stats: ReturnType<typeof lstatSync> | undefined): WriteTarget['kind'] {
  if (stats === undefined || stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isFIFO() ? 'pipe' : 'stream';
}
