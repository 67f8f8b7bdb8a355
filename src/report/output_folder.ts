/**
 * The folder of one run, named and numbered as ms-swift does it, and its args.json.
 * Knows names and files, not what is logged into them.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { messageOf, SightlineError } from '../errors.ts';
import type { Json } from '../train/events.ts';
import { writeFileAtomically } from '../util/atomic_write.ts';
import { diskHint } from '../util/disk_hint.ts';
import { makeFolders } from '../util/make_folders.ts';
import { packageVersion } from '../util/version.ts';

export interface OutputFolder {
  /** Absolute path. */
  readonly path: string;
  /** Takes back what was made, as far as it is still empty: for runs that end before they begin. */
  discard(): void;
  /** Takes it back with what the run wrote into it; a folder that was there before stays as it is. */
  remove(): void;
}

/**
 * Makes the folder of a run: `parent/vN-YYYYMMDD-HHMMSS` (local time), N one above the highest there is; without
 * `addVersion`, `parent` itself. Two runs that start at once get two folders.
 *
 * Errors: E_OUTPUT when the folder cannot be made or written.
 */
export function createOutputFolder(parent: string, addVersion: boolean, now = new Date()): OutputFolder {
  const root = resolve(parent);
  try {
    const made = makeFolders(root);
    if (!addVersion) return outputFolder(root, made);
    for (let version = nextVersion(root); ; version++) {
      const path = join(root, `v${version}-${timestamp(now)}`);
      if (makeExclusively(path)) return outputFolder(path, [path, ...made]);
    }
  } catch (error) {
    throw new SightlineError('E_OUTPUT', `the output folder cannot be made: ${messageOf(error)}`, {
      where: `--output_dir ${parent}`,
      hint: diskHint(error) ?? 'name a folder that can be written',
      cause: error,
    });
  }
}

/**
 * Writes args.json: every resolved argument by flag name, and under `_sightline` where it comes from: command, version,
 * and the SHA-256 of every plugin file, for plugins are code.
 */
export function writeArgsJson(
  folder: string,
  command: string,
  args: Readonly<Record<string, Json>>,
  plugins: readonly string[],
): void {
  const provenance = {
    command,
    version: packageVersion(),
    node: process.version,
    created: new Date().toISOString(),
    output_dir: folder,
    plugins: Object.fromEntries(plugins.map((path) => [path, sha256(path)])),
  };
  writeFileAtomically(join(folder, 'args.json'), `${JSON.stringify({ ...args, _sightline: provenance }, null, 2)}\n`);
}

// --- internal ---

/** `made`: the folders that were not there before, the deepest first. */
function outputFolder(path: string, made: readonly string[]): OutputFolder {
  const discard = (): void => removeEmpty(made);
  return {
    path,
    discard,
    remove: () => {
      if (made.includes(path)) rmSync(path, { recursive: true, force: true });
      discard();
    },
  };
}

function makeExclusively(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function removeEmpty(folders: readonly string[]): void {
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    if (readdirSync(folder).length > 0) return;
    rmdirSync(folder);
  }
}

function nextVersion(root: string): number {
  const versions = readdirSync(root).map((name) => Number(/^v(\d+)/.exec(name)?.[1] ?? -1));
  return Math.max(-1, ...versions) + 1;
}

/** Local time as YYYYMMDD-HHMMSS. */
function timestamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${date}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
