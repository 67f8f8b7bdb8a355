/**
 * Opens regular files for reading without ever hanging: a plain open of a named pipe would wait for a writer.
 * Knows kinds of files; the caller makes the errors.
 */
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Makes the error for a path that cannot be opened. */
export interface OpenFaults {
  /** There is no file of this name. */
  missing(cause: unknown): Error;
  /** The system refuses, for the reason in `cause`. */
  unreadable(cause: unknown): Error;
  notRegular(kind: 'a folder' | 'a pipe, socket or device'): Error;
}

/** Opens a file; the caller closes the descriptor. Throws the errors of `faults`. */
export function openRegularFileSync(path: string, faults: OpenFaults): { fd: number; size: number } {
  let fd: number;
  try {
    fd = openSync(path, NON_BLOCKING);
  } catch (cause) {
    throw faultOf(cause, faults);
  }
  const stats = fstatSync(fd);
  if (stats.isFile()) return { fd, size: stats.size };
  closeSync(fd);
  throw faults.notRegular(kindOf(stats));
}

/** The same without blocking the event loop; the caller closes the handle. */
export async function openRegularFile(path: string, faults: OpenFaults): Promise<{ handle: FileHandle; size: number }> {
  const handle = await open(path, NON_BLOCKING).catch((cause: unknown) => {
    throw faultOf(cause, faults);
  });
  const stats = await handle.stat();
  if (stats.isFile()) return { handle, size: stats.size };
  await handle.close();
  throw faults.notRegular(kindOf(stats));
}

// --- internal ---

/** Windows has no O_NONBLOCK. */
const NON_BLOCKING = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

function faultOf(cause: unknown, faults: OpenFaults): Error {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR' ? faults.missing(cause) : faults.unreadable(cause);
}

const kindOf = (stats: Stats): 'a folder' | 'a pipe, socket or device' =>
  stats.isDirectory() ? 'a folder' : 'a pipe, socket or device';
