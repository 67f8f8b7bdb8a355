/**
 * The surroundings of a trainer: the run's folder, the listeners, and cleaning up.
 * Knows no algorithm.
 */
import type { ReadArguments } from '../arguments/arguments.ts';
import { attentionFiles } from '../report/attention_files.ts';
import { broadcast } from '../report/broadcast.ts';
import { consoleReport } from '../report/console.ts';
import { clearUnsavedRun, createOutputFolder, reopenOutputFolder, writeArgsJson } from '../report/output_folder.ts';
import { completionsJsonl, loggingJsonl, noticesJsonl } from '../report/records.ts';
import { tensorboard } from '../report/tensorboard.ts';
import type { Listener, RunContext, TrainEvent } from '../train/events.ts';
import { findResumePoint, LAST } from '../train/resume/find.ts';
import { packageVersion } from '../util/version.ts';
import type { Io } from './io.ts';
import { tellVerdicts } from './verdicts.ts';

/** The arguments that the surroundings of a run need. */
export interface TrainingSettings {
  readonly outputDir: string;
  readonly addVersion: boolean;
  readonly resumeFromCheckpoint: string | null;
  readonly resumeOnlyModel: boolean;
  readonly ignoreDataSkip: boolean;
  readonly reportTo: readonly ('tensorboard' | 'none')[];
  readonly logCompletions: boolean;
  /** In MiB; 0 if no attention is logged by token. */
  readonly attnLogLimit: number;
  readonly completionsToPrint: number;
  /** True for a dry run: the folder is created to test it, and removed again. */
  readonly dryRun: boolean;
  /** Plugin files, whose SHA-256 args.json records. */
  readonly plugins: readonly string[];
}

/**
 * Creates the folder, or opens that of a resumed run, runs `train` with the listeners, and closes them. A run that fails before the end of its first step leaves
 * no folder behind; one that fails later leaves its logs and checkpoints.
 */
export async function trainingRun(
  command: string,
  read: Omit<ReadArguments<unknown>, 'args'>,
  settings: TrainingSettings,
  io: Io,
  train: (run: RunContext) => Promise<void>,
): Promise<void> {
  const resume = findResumePoint(settings, read.json);
  const beginsAnew = settings.resumeFromCheckpoint === LAST && resume === null;
  if (beginsAnew && !settings.addVersion) clearUnsavedRun(settings.outputDir);
  const folder =
    resume?.runDir == null
      ? createOutputFolder(settings.outputDir, settings.addVersion)
      : reopenOutputFolder(resume.runDir);
  const eventFiles = settings.reportTo.includes('tensorboard');
  const terminal = consoleReport(io.stdout, {
    title: `sightline ${packageVersion()} ${command}`,
    completionsToPrint: settings.completionsToPrint,
    eventFiles,
    env: io.env,
  });
  let hasResults = false;
  const files: Listener[] = [
    {
      onEvent: (event) => {
        hasResults ||= RESULTS.has(event.type);
        if (event.type === 'start') writeArgsJson(folder.path, command, read.json, settings.plugins);
      },
    },
    loggingJsonl(folder.path),
    noticesJsonl(folder.path),
    ...(settings.logCompletions ? [completionsJsonl(folder.path)] : []),
    ...(settings.attnLogLimit > 0 ? [attentionFiles(folder.path, settings.attnLogLimit * 2 ** 20)] : []),
    ...(eventFiles ? [tensorboard(folder.path)] : []),
  ];
  const listeners = [...(settings.dryRun ? [] : files), terminal];
  const { emit, close } = broadcast(listeners, (text) => io.stderr.write(`warning: ${text}\n`));
  try {
    for (const text of read.notices) await emit({ type: 'notice', level: 'info', text: `note: ${text}` });
    if (beginsAnew) {
      const text = `the newest run in ${settings.outputDir} has no checkpoint yet: a new run begins`;
      await emit({ type: 'notice', level: 'info', text });
    }
    await train({ signal: io.signal, emit, outputDir: folder.path, changed: read.changed, resume });
    await close();
    folder.discard();
    if (!settings.dryRun) await tellVerdicts(folder.path, io);
  } catch (error) {
    await close();
    if (!hasResults) folder.remove();
    throw error;
  } finally {
    folder.release();
  }
}

// --- internal ---

/** Events after which the folder of a failed run is kept. */
const RESULTS: ReadonlySet<TrainEvent['type']> = new Set(['progress', 'log', 'eval', 'checkpoint', 'end']);
