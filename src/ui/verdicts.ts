/**
 * What the doctor says of a run, for the page. Kept until the run has changed for a while, because it reads all completions.
 */
import { join } from 'node:path';
import { verdictsOn } from '../doctor/diagnose.ts';
import { readRunLog } from '../doctor/run_log.ts';
import type { Verdict } from '../doctor/verdict.ts';
import { NOTICES_FILE } from '../train/run_files.ts';
import { type Fence, isRefusal } from './inside.ts';
import type { Run } from './run.ts';

/** How long verdicts on a run that goes on are kept, in milliseconds. */
const KEPT_MS = 30_000;

export interface VerdictReader {
  /** Null if a file of the run may not be read. */
  of(run: Run, now?: number): Promise<readonly Verdict[] | null>;
}

export function createVerdictReader(fence: Fence): VerdictReader {
  const kept = new Map<
    string,
    { readonly version: number; readonly at: number; readonly verdicts: Promise<readonly Verdict[] | null> }
  >();
  return {
    async of(run, now = Date.now()) {
      const { id, path } = run.folder;
      const known = kept.get(id);
      if (known !== undefined && (known.version === run.version || now - known.at < KEPT_MS)) return known.verdicts;
      const verdicts = diagnose(path, fence);
      kept.set(id, { version: run.version, at: now, verdicts });
      return verdicts;
    },
  };
}

// --- internal ---

const FILES = ['logging.jsonl', 'completions.jsonl', 'args.json', NOTICES_FILE];

/** The doctor opens files by their names, so none of them may lead out of the folders that are served. */
async function diagnose(path: string, fence: Fence): Promise<readonly Verdict[] | null> {
  for (const name of FILES) {
    const file = await fence.open(join(path, name));
    if (isRefusal(file)) {
      if (file === 'missing' && name !== 'logging.jsonl') continue;
      return null;
    }
    await file.close();
  }
  return verdictsOn(await readRunLog(path));
}
