/**
 * Advice for system errors met while writing. Knows error codes, not what was written.
 */

/** The next step for the reader of a system error; undefined for any other error, which is a bug and keeps its stack. */
export function diskHint(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return HINTS[String(error.code)] ?? ('syscall' in error ? 'choose another folder' : undefined);
}

// --- internal ---

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free space or choose another folder',
  EDQUOT: 'the disk quota is used up: free space or choose another folder',
  EFBIG: 'the file system does not allow files of this size: use smaller shards',
  EACCES: 'no permission to write there: choose another folder',
  EPERM: 'no permission to write there: choose another folder',
  EROFS: 'the file system is read-only: choose another folder',
  ENOTDIR: 'part of the path is a file: choose another folder',
  EEXIST: 'part of the path is a file: choose another folder',
  EMFILE: 'too many open files: raise the limit (ulimit -n)',
  EIO: 'the disk reports an error',
  ENOENT: 'the folder cannot be created, or was removed in the meantime: choose another folder',
  EPIPE: 'the program that reads the output has ended: let it read to the end, or write to a file',
};
