/**
 * Opens files only inside the folders that the user has named, whatever links and names say.
 */
import { constants, realpathSync } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { sep } from 'node:path';

/** Why a file is not served: `outside` also if the path leads there over a symbolic link. */
export type Refusal = 'missing' | 'outside' | 'not a file' | 'unreadable';

export interface Fence {
  /** The real path, if it is inside. */
  resolve(path: string): Promise<string | Refusal>;
  /** Opens for reading without blocking; the caller closes. */
  open(path: string): Promise<FileHandle | Refusal>;
  readonly roots: readonly string[];
}

/** @param folders must exist */
export function createFence(folders: readonly string[]): Fence {
  const roots = folders.map((folder) => realpathSync(folder));
  const resolve = async (path: string): Promise<string | Refusal> => {
    if (path.includes('\0')) return 'missing';
    try {
      const real = await realpath(path);
      return roots.some((root) => isWithin(root, real)) ? real : 'outside';
    } catch (error) {
      return refusalOf(error);
    }
  };
  return {
    roots,
    resolve,
    async open(path) {
      const real = await resolve(path);
      if (isRefusal(real)) return real;
      try {
        // A link that replaces the file after the check is not followed.
        const handle = await open(real, constants.O_RDONLY | NON_BLOCKING | NO_FOLLOW);
        if ((await handle.stat()).isFile()) return handle;
        await handle.close();
        return 'not a file';
      } catch (error) {
        return refusalOf(error);
      }
    },
  };
}

export function isRefusal(value: unknown): value is Refusal {
  return value === 'missing' || value === 'outside' || value === 'not a file' || value === 'unreadable';
}

// --- internal ---

/** Windows has neither flag. */
const NON_BLOCKING = constants.O_NONBLOCK ?? 0;
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

function isWithin(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

function refusalOf(error: unknown): Refusal {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unreadable';
}
