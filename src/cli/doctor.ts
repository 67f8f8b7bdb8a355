/**
 * `sightline doctor`: prints verdicts on runs, or on what a run is to be made of. Exits with 1 if one is severe.
 */
import { readDoctorArguments } from '../arguments/arguments.ts';
import { SightlineError } from '../errors.ts';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

export async function doctor(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readDoctorArguments(namedFolders(words), io.env);
  for (const text of notices) io.stderr.write(`note: ${text}\n`);
  const { diagnoseRun, verdictText } = await import('../doctor/diagnose.ts');
  const found = [];
  for (const dir of args.folders) found.push({ run: dir, verdicts: await diagnoseRun(dir) });
  if (args.dataset.length > 0) {
    const { diagnoseIntended } = await import('../doctor/before_run.ts');
    const columns = (args.columns ?? {}) as Record<string, string>;
    found.push({ run: null, verdicts: await diagnoseIntended({ ...args, columns }) });
  }
  if (args.json) {
    const list = found.flatMap(({ run, verdicts }) => verdicts.map((verdict) => ({ run, ...verdict })));
    io.stdout.write(`${JSON.stringify(list, null, 2)}\n`);
  } else {
    for (const { run, verdicts } of found) {
      const title = run ?? 'before the run';
      const text = verdicts.length === 0 ? 'nothing found' : verdicts.map(verdictText).join('\n');
      io.stdout.write(`${cleanText(title)}\n${text.split('\n').map(cleanText).join('\n')}\n`);
    }
  }
  const severe = found.flatMap(({ verdicts }) => verdicts).filter(({ severity }) => severity === 'severe');
  if (severe.length > 0) {
    throw new SightlineError('E_DOCTOR', `severe: ${[...new Set(severe.map(({ code }) => code))].join(', ')}`, {
      exitCode: 1,
      hint: 'see the verdicts above',
    });
  }
}

// --- internal ---

/** Folders may be the first words. */
function namedFolders(words: readonly string[]): readonly string[] {
  return words[0] === undefined || words[0].startsWith('-') ? words : ['--folders', ...words];
}
