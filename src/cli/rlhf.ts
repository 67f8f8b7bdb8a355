/**
 * `sightline rlhf` and its --help. Plugins are loaded before arguments are read, because they can add flags.
 */
import { engineNamed, pluginsNamed, readRlhfArguments } from '../arguments/arguments.ts';
import { helpText } from '../arguments/help.ts';
import { rlhfWithEngines } from '../arguments/reward_flags.ts';
import type { Io } from './io.ts';
import { trainingRun } from './training_run.ts';

export async function rlhf(words: readonly string[], io: Io): Promise<void> {
  await loadNamed(words, io);
  if (engineNamed(words, io.env) === 'ms-swift') {
    const { msSwiftRun } = await import('./ms_swift_run.ts');
    return msSwiftRun(words, io);
  }
  const { args, ...read } = readRlhfArguments(words, io.env);
  const settings = { ...args, completionsToPrint: args.numCompletionsToPrint, plugins: args.externalPlugins };
  await trainingRun('rlhf', read, settings, io, async (run) => {
    const { runRlhf } = await import('../train/rlhf.ts');
    await runRlhf(args, run);
  });
}

/** The help text, including flags of the plugins that the words name. */
export async function rlhfHelp(words: readonly string[], io: Io): Promise<string> {
  await loadNamed(words, io);
  return helpText(rlhfWithEngines());
}

// --- internal ---

async function loadNamed(words: readonly string[], io: Io): Promise<void> {
  const paths = pluginsNamed(words, io.env);
  if (paths.length === 0) return;
  const { loadPlugins } = await import('../rewards/plugin.ts');
  await loadPlugins(paths, { signal: io.signal, warn: (text) => io.stderr.write(`warning: ${text}\n`) });
}
