/**
 * Finds the checkpoint that a run continues from. Knows names of folders and files, not what they hold.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { SightlineError } from '../../errors.ts';
import type { Json } from '../../util/json.ts';
import { LOOP_STATE_FILE, TRAINER_STATE_FILE } from '../checkpoint_files.ts';

/** The word for the last checkpoint of the newest run in --output_dir. */
export const LAST = 'last';

/** A checkpoint to continue from. */
export interface ResumePoint {
  /** Absolute path. */
  readonly dir: string;
  /** Folder of the run that wrote it, in which the run continues; null for a new run with the checkpoint's weights. */
  readonly runDir: string | null;
  /** Only weights are restored: with a new optimizer, and without the state of the loop. */
  readonly onlyModel: boolean;
  /** The epoch under way begins anew. */
  readonly ignoreDataSkip: boolean;
  /** All arguments of the run by flag name, as args.json has them. */
  readonly args: Readonly<Record<string, Json>>;
}

export interface ResumeArguments {
  readonly resumeFromCheckpoint: string | null;
  readonly resumeOnlyModel: boolean;
  readonly ignoreDataSkip: boolean;
  readonly outputDir: string;
  readonly addVersion: boolean;
}

/**
 * The checkpoint that the flags name; null if they name none, and for `last` if the newest run has none yet.
 *
 * @param json all arguments by flag name
 * Errors: E_RESUME_MISSING for a folder that is not there or not a complete checkpoint.
 */
export function findResumePoint(args: ResumeArguments, json: ResumePoint['args']): ResumePoint | null {
  const { resumeOnlyModel: onlyModel, ignoreDataSkip } = args;
  const dir = namedCheckpoint(args);
  if (dir === null) return null;
  const isNewRun = onlyModel && ignoreDataSkip;
  checkComplete(dir, isNewRun);
  return { dir, runDir: isNewRun ? null : dirname(dir), onlyModel, ignoreDataSkip, args: json };
}

/** The path that --resume_from_checkpoint means; null without the flag, and for `last` if the newest run has no checkpoint yet. */
export function namedCheckpoint(
  args: Pick<ResumeArguments, 'resumeFromCheckpoint' | 'outputDir' | 'addVersion'>,
): string | null {
  const { resumeFromCheckpoint: named } = args;
  return named === null || named === LAST ? named && lastCheckpoint(args) : resolve(named);
}

/** Checkpoints in the folder of a run, as [step, path], in the order of their steps. */
export function checkpointsIn(runDir: string): [step: number, dir: string][] {
  if (!isFolder(runDir)) return [];
  return readdirSync(runDir)
    .flatMap((name): [number, string][] => {
      const step = /^checkpoint-(\d+)$/.exec(name)?.[1];
      return step === undefined ? [] : [[Number(step), join(runDir, name)]];
    })
    .sort(([a], [b]) => a - b);
}

// --- internal ---

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

function lastCheckpoint({ outputDir, addVersion }: Pick<ResumeArguments, 'outputDir' | 'addVersion'>): string | null {
  const root = resolve(outputDir);
  const run = addVersion ? newestRun(root) : root;
  return run === null ? null : (checkpointsIn(run).at(-1)?.[1] ?? null);
}

/** The folder vN-... with the largest N. */
function newestRun(root: string): string | null {
  if (!isFolder(root)) return null;
  const runs = readdirSync(root).flatMap((name): [number, string][] => {
    const version = /^v(\d+)-\d{8}-\d{6}$/.exec(name)?.[1];
    return version === undefined ? [] : [[Number(version), join(root, name)]];
  });
  return runs.sort(([a], [b]) => a - b).at(-1)?.[1] ?? null;
}

function checkComplete(dir: string, isNewRun: boolean): void {
  const refuse = (message: string, hint: string): SightlineError =>
    new SightlineError('E_RESUME_MISSING', message, { where: `--resume_from_checkpoint ${dir}`, hint });
  if (!isFolder(dir)) {
    const message = existsSync(dir) ? 'is a file, not the folder of a checkpoint' : 'no such folder';
    throw refuse(
      message,
      `give RUN/checkpoint-N, or ${LAST} for the last checkpoint of the newest run in --output_dir`,
    );
  }
  const inside = checkpointsIn(dir).at(-1)?.[1];
  if (inside !== undefined) throw refuse('is the folder of a run, not of a checkpoint', `give ${inside}`);
  if (isNewRun) return;
  const lacking = [TRAINER_STATE_FILE, LOOP_STATE_FILE].filter((name) => !existsSync(join(dir, name)));
  if (lacking.length === 0) return;
  throw refuse(
    `${basename(dir)} has no ${lacking.join(' and no ')}: it was saved with --save_only_model true, or by another program`,
    'set --resume_only_model true and --ignore_data_skip true to begin a new run with its weights',
  );
}
