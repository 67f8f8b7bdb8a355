/**
 * Writes a whole file or nothing: beside its place first, flushed to disk, then renamed over it. Links stay links.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { writeTarget } from './write_target.ts';

/** Replaces or makes the file. Throws the system's error and leaves what was there before. */
export function writeFileAtomically(given: string, content: string | Uint8Array): void {
  const { kind, path } = writeTarget(given);
  if (kind !== 'file') {
    writeFileSync(path, content);
    return;
  }
  const beside = `${path}.${process.pid}.tmp`;
  try {
    const fd = openSync(beside, 'w');
    try {
      writeFileSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}
