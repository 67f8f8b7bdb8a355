/**
 * Writes a whole file or nothing: the content goes to a temporary file in the same folder, is flushed to disk, and is
 * renamed over the target. Symbolic links stay links.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { writeTarget } from './write_target.ts';

/** Replaces or creates the file. On failure the old file stays as it was, and the system error is thrown. */
export function writeFileAtomically(given: string, content: string | Uint8Array): void {
  const { kind, path } = writeTarget(given);
  if (kind !== 'file') {
    writeFileSync(path, content);
    return;
  }
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const fd = openSync(temporary, 'w');
    try {
      writeFileSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
