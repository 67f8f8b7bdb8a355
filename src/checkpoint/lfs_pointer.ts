/**
 * Git LFS pointers: the short text that a clone without LFS contains in place of a large file.
 * Knows the form of pointers (git-lfs docs/spec.md), not the files they stand for.
 */
import { basename, dirname } from 'node:path';
import { SightlineError } from '../errors.ts';
import { downloadOf } from './model_folder.ts';

/** Upper bound on the length of a pointer, from its specification. */
export const LFS_POINTER_BYTES = 1024;

/** How to replace a pointer at `path` by its file; the Hugging Face cache is not a clone and needs another command. */
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
  const target = size === undefined ? '' : ` to ${size} bytes that are not here`;
  throw new SightlineError(
    'E_LFS_POINTER',
    `${basename(path)} is a Git LFS pointer${target}, expected the file itself`,
    {
      where: path,
      hint: lfsHint(path),
    },
  );
}

// --- internal ---

/** "hawser" was the name of Git LFS before version 1. */
const START = /^version https:\/\/(git-lfs|hawser)\.github\.com\/spec\//;
