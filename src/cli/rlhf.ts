/**
 * `sightline rlhf`: arguments to trainer.
 */
import { readRlhfArguments } from '../arguments/arguments.ts';
import type { Io } from './io.ts';
import { trainingRun } from './training_run.ts';

export async function rlhf(words: readonly string[], io: Io): Promise<void> {
  const { args, ...read } = readRlhfArguments(words, io.env);
  const settings = { ...args, completionsToPrint: args.numCompletionsToPrint, plugins: args.externalPlugins };
  await trainingRun('rlhf', read, settings, io, async (run) => {
    const { runRlhf } = await import('../train/rlhf.ts');
    await runRlhf(args, run);
  });
}
