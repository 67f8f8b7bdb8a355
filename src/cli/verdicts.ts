/**
 * Prints what the doctor says of a run that has ended.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

/** @param dir folder of the run; nothing is said if it has no records */
export async function tellVerdicts(dir: string, io: Io): Promise<void> {
  if (!existsSync(join(dir, 'logging.jsonl'))) return;
  const { diagnoseRun, verdictText } = await import('../doctor/diagnose.ts');
  for (const verdict of await diagnoseRun(dir)) {
    io.stdout.write(`${verdictText(verdict).split('\n').map(cleanText).join('\n')}\n`);
  }
}
