/**
 * `sightline score`: reads arguments and scores a dataset.
 */
import { readScoreArguments } from '../arguments/arguments.ts';
import { consoleReport } from '../report/console.ts';
import { packageVersion } from '../util/version.ts';
import type { Io } from './io.ts';

export async function score(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readScoreArguments(words, io.env);
  const options = {
    title: `sightline ${packageVersion()} score`,
    completionsToPrint: 0,
    eventFiles: false,
    env: io.env,
  };
  const { onEvent, close } = consoleReport(io.stderr, options);
  try {
    for (const text of notices) await onEvent({ type: 'notice', level: 'info', text: `note: ${text}` });
    const { runScore } = await import('../train/score.ts');
    await runScore(args, { signal: io.signal, emit: onEvent });
  } finally {
    await close?.();
  }
}
