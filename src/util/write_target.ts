/**
 * Looks at the path of a file to be written: may a rename replace it, or must it be written in place? A rename over a link
 * or a device would put a regular file there, which for `/dev/stdout` breaks the machine.
 */
import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

export interface WriteTarget {
  /**
   * `file`: a regular file, or nothing yet; a rename may replace it. `pipe`: a named pipe. `stream`: a device, a socket, or
   * a descriptor that this process has open. `folder`: cannot be written.
   */
  readonly kind: 'file' | 'pipe' | 'stream' | 'folder';
  /** The path with all links resolved. */
  readonly path: string;
  /** This process's own descriptor that the path names (`/dev/stdout` is 1), or null. */
  readonly descriptor: number | null;
}

/** Follows links, even to a file that does not exist yet. Throws the system error if a folder on the way does not exist. */
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

/** The limit of Linux. */
const MOST_LINKS = 40;

/** Where /dev/stdout and /dev/fd/N lead: links whose text does not name a file. */
const DESCRIPTOR = /^\/(?:proc\/(\d+)(?:\/task\/\d+)?|dev)\/fd\/(\d+)$/;

function kindOf(stats: ReturnType<typeof lstatSync> | undefined): WriteTarget['kind'] {
  if (stats === undefined || stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isFIFO() ? 'pipe' : 'stream';
}
