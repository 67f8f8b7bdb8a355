/**
 * Checks of the flags that name datasets and their columns, before any of them is opened.
 */
import { existsSync, statSync } from 'node:fs';
import { parseSpec } from '../data/specs.ts';
import { SightlineError } from '../errors.ts';
import type { Faults } from './faults.ts';

/** `train.jsonl#500`, the first 500 rows of a dataset, as its path. A count of 0 is told when it is opened. */
export function pathOf(spec: string): string {
  try {
    return parseSpec(spec).path;
  } catch (error) {
    if (error instanceof SightlineError) return spec.replace(/#\d+$/, '');
    throw error;
  }
}

/** A fault for each path that is neither a file nor a folder. */
export function checkDatasets(flag: string, specs: readonly string[], faults: Faults): void {
  for (const path of specs.map(pathOf)) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isFile() || stat?.isDirectory()) continue;
    const [message, fix] = /^\w+:\/\//.test(path)
      ? [`is an address on the network: ${path}`, 'download it, and give its path']
      : existsSync(path)
        ? [`is not a regular file: ${path}`, 'give a file or a folder']
        : [`no such file or folder: ${path}`, NAME.test(path) ? DOWNLOAD : 'check the path'];
    faults.check([flag], false, message, fix);
  }
}

/** A fault for names that are no texts, or go to one name. */
export function checkColumns(columns: Readonly<Record<string, unknown>> | null, faults: Faults): void {
  const names = new Map<string, string>();
  for (const [from, to] of Object.entries(columns ?? {})) {
    const isName = typeof to === 'string' && to !== '';
    faults.check(
      ['columns'],
      isName,
      `the new name of "${from}" is ${JSON.stringify(to)}, expected a text`,
      'write \'{"old name": "new name"}\'',
    );
    const other = isName ? names.get(to) : undefined;
    faults.check(['columns'], other === undefined, `"${other}" and "${from}" both become "${to}"`, 'map one of them');
    if (isName) names.set(to, from);
  }
}

// --- internal ---

/** `hf::organisation/name`, as ms-swift writes the names of datasets to download. */
const NAME = /^(?:(?:hf|ms)::)?[\w.-]+\/[\w.-]+(?::[\w./-]+)?$/i;
const DOWNLOAD =
  'datasets are not downloaded by name: download it (hf download --repo-type dataset NAME --local-dir DIR), and give its folder';
