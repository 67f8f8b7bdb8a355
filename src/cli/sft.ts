/**
 * `sightline sft`: reads arguments and runs supervised training.
 */
import { readSftArguments } from '../arguments/arguments.ts';
import type { Io } from './io.ts';
import { trainingRun } from './training_run.ts';

export async function sft(words: readonly string[], io: Io): Promise<void> {
  const { args, ...read } = readSftArguments(words, io.env);
  const settings = {
    ...args,
    logCompletions: false,
    attnLogLimit: 0,
    completionsToPrint: 0,
    dryRun: false,
    plugins: [],
  };
  await trainingRun('sft', read, settings, io, async (run) => {
    const { runSft } = await import('../train/sft.ts');
    await runSft(args, run);
  });
}
