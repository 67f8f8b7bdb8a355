/**
 * Creates the folder of one run, named and numbered as in ms-swift, and its args.json.
 * Knows names and files, not what is logged into them.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { sweepLeftovers } from '../checkpoint/atomic_folder.ts';
import { messageOf, SightlineError } from '../errors.ts';
import { writeFileAtomically } from '../util/atomic_write.ts';
import { diskHint } from '../util/disk_hint.ts';
import { LOCK_FILE, lockFolder, lockHolder, unlockFolder } from '../util/folder_lock.ts';
import { isAlive } from '../util/is_alive.ts';
import type { Json } from '../util/json.ts';
import { makeFolders } from '../util/make_folders.ts';
import { packageVersion } from '../util/version.ts';

export interface OutputFolder {
  /** Absolute path. */
  readonly path: string;
  /** Removes the created folders if the run has written nothing into them. */
  discard(): void;
  /** Removes the created folders with everything in them. A folder that existed before stays and becomes free again. */
  remove(): void;
  /** Ends the lock on the folder. */
  release(): void;
}

/**
 * Creates the folder of a run: `parent/vN-YYYYMMDD-HHMMSS` (local time) with the next free N, or `parent` itself without
 * `addVersion`, which must not hold another run. Two runs never share a folder, even if they start at the same time. Writes a
 * file into the folder at once, so that a folder that is not writable is noticed before training.
 *
 * Errors: E_OUTPUT if the folder cannot be created or written; E_OUTPUT_EXISTS if it holds another run.
 */
export function createOutputFolder(parent: string, addVersion: boolean, now = new Date()): OutputFolder {
  const root = resolve(parent);
  const made: string[] = [];
  try {
    made.push(...makeFolders(root));
    sweepRuns(root);
    if (!addVersion) return claim(root, made);
    for (let version = nextVersion(root); ; version++) {
      const path = join(root, `v${version}-${timestamp(now)}`);
      if (!makeExclusively(path)) continue;
      made.unshift(path);
      return claim(path, made);
    }
  } catch (error) {
    removeEmpty(made);
    throw unwritable(error, `--output_dir ${parent}`);
  }
}

/**
 * Opens the folder of an earlier run, which continues in it.
 *
 * Errors: E_OUTPUT if it cannot be written; E_OUTPUT_IN_USE if a process still runs in it.
 */
export function reopenOutputFolder(path: string): OutputFolder {
  try {
    sweepLeftovers(path);
    lock(path);
  } catch (error) {
    throw unwritable(error, path);
  }
  return { path, discard: () => undefined, remove: () => undefined, release: () => unlockFolder(path) };
}

/**
 * Removes what a run of sightline that was killed before its first checkpoint has left in a folder, so that it can begin anew
 * there. A folder with a checkpoint, of another program, or of a run that goes on stays as it is.
 */
export function clearUnsavedRun(path: string): void {
  if (!(textOf(join(path, 'args.json')) ?? '').includes('"_sightline"') || lockHolder(path) !== null) return;
  const names = readdirSync(path);
  if (names.some((name) => /^checkpoint-\d+$/.test(name))) return;
  for (const name of names) if (UNSAVED.test(name)) rmSync(join(path, name), { recursive: true, force: true });
}

/**
 * Writes args.json: all resolved arguments by flag name, and their provenance under `_sightline`: command, versions, and the
 * SHA-256 of every plugin file.
 */
export function writeArgsJson(
  folder: string,
  command: string,
  args: Readonly<Record<string, Json>>,
  plugins: readonly string[],
  name = 'args.json',
): void {
  const provenance = {
    command,
    version: packageVersion(),
    node: process.version,
    created: new Date().toISOString(),
    output_dir: folder,
    plugins: Object.fromEntries(plugins.map((path) => [path, sha256(path)])),
  };
  writeFileAtomically(join(folder, name), `${JSON.stringify({ ...args, _sightline: provenance }, null, 2)}\n`);
}

// --- internal ---

/** Files of a run that a second run in the same folder would overwrite or append to. */
const RUN_FILES = /^(?:args\.json|logging\.jsonl|completions\.jsonl|checkpoint-\d+)$/;

/** What a run writes besides checkpoints. */
const UNSAVED = /^(?:args\.json|(?:logging|completions|notices)\.jsonl|runs|attention)$/;

/** First content of args.json: names the process that has claimed the folder, until the run's arguments replace it. */
const CLAIM = JSON.stringify({ _sightline: { starting: { pid: process.pid, host: hostname() } } });

/**
 * Claims the folder for this run.
 *
 * @param made the folders that did not exist before, the deepest first
 */
function claim(path: string, made: readonly string[]): OutputFolder {
  const args = join(path, 'args.json');
  if (isDeadClaim(args)) rmSync(args, { force: true });
  const found = readdirSync(path).filter((name) => RUN_FILES.test(name));
  if (found.length > 0) throw holdsAnotherRun(path, found);
  try {
    writeFileSync(args, CLAIM, { flag: 'wx' });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST')
      throw holdsAnotherRun(path, ['args.json']);
    rmSync(args, { force: true });
    throw error;
  }
  lock(path);
  const release = (): void => unlockFolder(path);
  const discard = (): void => {
    if (textOf(args) === CLAIM) rmSync(args);
    release();
    removeEmpty(made);
  };
  return {
    path,
    discard,
    remove: () => {
      if (made.includes(path)) rmSync(path, { recursive: true, force: true });
      else rmSync(args, { force: true });
      discard();
    },
    release,
  };
}

/** Whether a run claimed the folder and was killed before it started. */
function isDeadClaim(args: string): boolean {
  const [, pid, host] =
    /^\{"_sightline":\{"starting":\{"pid":(\d+),"host":(".*")\}\}\}$/.exec(textOf(args) ?? '') ?? [];
  return host === JSON.stringify(hostname()) && !isAlive(Number(pid));
}

/** Locks the folder of a run for this process. Errors: E_OUTPUT_IN_USE; system errors. */
function lock(path: string): void {
  const holder = lockFolder(path);
  if (holder === null) return;
  throw new SightlineError('E_OUTPUT_IN_USE', `process ${holder.pid} on ${holder.host} still runs in the folder`, {
    where: path,
    hint: `wait for it or stop it; if it has ended on another machine, remove ${join(path, LOCK_FILE)}`,
  });
}

function unwritable(error: unknown, where: string): unknown {
  if (error instanceof SightlineError) return error;
  return new SightlineError('E_OUTPUT', `the output folder cannot be written: ${messageOf(error)}`, {
    where,
    hint: diskHint(error) ?? 'name a writable folder',
    cause: error,
  });
}

function textOf(path: string): string | null {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path, 'utf8') : null;
}

function holdsAnotherRun(path: string, found: readonly string[]): SightlineError {
  const more = found.length > 3 ? ` and ${found.length - 3} more` : '';
  return new SightlineError('E_OUTPUT_EXISTS', `the folder holds another run: ${found.slice(0, 3).join(', ')}${more}`, {
    where: `--output_dir ${path}, with --add_version false`,
    hint: 'name another --output_dir, leave out --add_version false, or remove the other run',
  });
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

/** Removes partial checkpoints of killed runs, which may occupy gigabytes in hidden folders. */
function sweepRuns(root: string): void {
  sweepLeftovers(root);
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    if (entry.isDirectory() && /^v\d+-\d{8}-\d{6}$/.test(entry.name)) sweepLeftovers(join(root, entry.name));
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
