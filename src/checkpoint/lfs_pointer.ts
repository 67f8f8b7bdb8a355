/**
 * Git LFS pointers: the few lines that a clone without LFS has in place of a large file.
 * Knows the pointer's form (git-lfs docs/spec.md), not what the file was to be.
 */
import { basename, dirname } from 'node:path';
import { SightlineError } from '../errors.ts';
import { downloadOf } from './model_folder.ts';

/** No pointer is longer, says its specification. */
export const LFS_POINTER_BYTES = 1024;

/** What to do about a pointer at `path`; the cache of Hugging Face is no clone. */
export function lfsHint(path: string): string {
  const download = downloadOf(dirname(path));
  const way =
    download === null ? `git lfs pull in ${dirname(path)} (after git lfs install)` : `${download} --force-download`;
  return `fetch the file itself: ${way}`;
}

export function isLfsPointer(bytes: Uint8Array): boolean {
  return START.test(Buffer.from(bytes.subarray(0, 64)).toString('latin1'));
}

/** Refuses a pointer. Error: E_LFS_POINTER. */
export function refuseLfsPointer(bytes: Uint8Array, path: string): void {
  if (!isLfsPointer(bytes)) return;
  const text = Buffer.from(bytes.subarray(0, LFS_POINTER_BYTES)).toString('latin1');
  const [, size] = /^size (\d{1,20})$/m.exec(text) ?? [];
  const stands = size === undefined ? '' : ` to ${size} bytes that are not here`;
  throw new SightlineError(
    'E_LFS_POINTER',
    `${basename(path)} is a Git LFS pointer${stands}, expected the file itself`,
    {
      where: path,
      hint: lfsHint(path),
    },
  );
}

// --- internal ---

/** The second name is the one before version 1. */
const START = /^version https:\/\/(git-lfs|hawser)\.github\.com\/spec\//;
