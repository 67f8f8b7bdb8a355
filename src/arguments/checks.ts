/**
 * Checks of values that several commands share: sizes, files, folders, limits of pixels.
 */
import { existsSync } from 'node:fs';
import { MAX_BATCH } from '../grpo/batching.ts';
import type { Faults } from './faults.ts';
import { isFile, isFolder } from './paths.ts';

export function checkPixels(values: { minPixels: number | null; maxPixels: number | null }, faults: Faults): void {
  const { minPixels, maxPixels } = values;
  faults.check(
    ['min_pixels', 'max_pixels'],
    minPixels === null || maxPixels === null || minPixels <= maxPixels,
    `${minPixels} is more than --max_pixels ${maxPixels}`,
  );
}

/** Refuses sizes so large that bookkeeping alone would fill the memory before the first completion. */
export function checkSizes(sizes: Readonly<Record<string, number | null>>, faults: Faults): void {
  for (const [flag, size] of Object.entries(sizes)) {
    faults.check([flag], size === null || size <= MAX_BATCH, `expected at most ${MAX_BATCH}, got ${size}`);
  }
}

export function checkFiles(flag: string, paths: readonly string[], faults: Faults): void {
  for (const path of paths) {
    if (isFile(path)) continue;
    if (/^\w+:\/\//.test(path)) {
      faults.check([flag], false, `is a URL, expected a file: ${path}`, 'download the file and give its path');
      continue;
    }
    const kind = isFolder(path) ? 'is a folder' : existsSync(path) ? 'is not a regular file' : 'no such file';
    faults.check([flag], false, `${kind}: ${path}`, kind === 'no such file' ? 'check the path' : 'give a regular file');
  }
}

export function checkOutput(path: string, faults: Faults): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for control characters
  const control = /[\u0000-\u001f\u007f]/.test(path);
  faults.check(['output_dir'], !control, `has a line break or control character: ${JSON.stringify(path)}`);
  faults.check(
    ['output_dir'],
    !isFile(path),
    `is a file, not a folder: ${path}`,
    'give a folder, which need not exist yet',
  );
}
