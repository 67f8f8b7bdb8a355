/**
 * `sightline rlhf --engine ms-swift`: reads arguments, checks the environment, and runs ms-swift with the
 * output folder, console output and errors of sightline.
 */
import { join, resolve } from 'node:path';
import { isPython, type MsSwiftArguments, readMsSwiftArguments } from '../arguments/arguments.ts';
import { type EngineFacts, lookAtEnvironment } from '../ms_swift/environment.ts';
import { checkRewardNames } from '../ms_swift/reward_names.ts';
import { type Plan, planRun, runMsSwift, watchRun } from '../ms_swift/run.ts';
import { broadcast } from '../report/broadcast.ts';
import { consoleReport } from '../report/console.ts';
import { createOutputFolder, type OutputFolder, writeArgsJson } from '../report/output_folder.ts';
import { commandsFor, commandsForAdapter } from '../report/screens.ts';
import { createStopwatch } from '../report/stopwatch.ts';
import { SYSTEM_FILE } from '../train/checkpoint_files.ts';
import { makeFolders } from '../util/make_folders.ts';
import { shellWord } from '../util/shell_word.ts';
import { packageVersion } from '../util/version.ts';
import type { Io } from './io.ts';
import { tellVerdicts } from './verdicts.ts';

export async function msSwiftRun(words: readonly string[], io: Io): Promise<void> {
  const read = readMsSwiftArguments(words, io.env);
  const { args, notices } = read;
  checkRewardNames(read);
  if (args.dryRun) return dryRun(read, io);
  const facts = await lookAtEnvironment(read, io.env, io.signal);
  if (facts.fault !== null) throw facts.fault;
  const folder = folderOf(read);
  let isLaunched = false;
  const watch = watchRun(read, folder.path);
  const terminal = consoleReport(io.stdout, {
    title: `sightline ${packageVersion()} rlhf --engine ms-swift`,
    completionsToPrint: 0,
    eventFiles: args.reportTo.includes('tensorboard'),
    env: io.env,
    stopwatch: createStopwatch(undefined, () => watch.memory() || null),
    nextCommands: (checkpoint) => nextCommands(read, folder.path, checkpoint),
  });
  const { emit, close } = broadcast([terminal], (text) => io.stderr.write(`warning: ${text}\n`));
  try {
    const plan = planRun(read, facts, folder.path, false, io.env);
    for (const text of [...notices, ...notesOn(read, facts)])
      await emit({ type: 'notice', level: 'info', text: `note: ${text}` });
    if (isFirstNode(read)) writeArgsJson(folder.path, 'rlhf', read.json, args.externalPlugins, ARGS);
    isLaunched = true;
    await runMsSwift(
      plan,
      read,
      watch,
      { signal: io.signal, emit, outputDir: folder.path, changed: read.changed },
      io.env,
    );
  } catch (error) {
    await close();
    if (isLaunched) folder.discard();
    else folder.remove();
    throw error;
  } finally {
    folder.release();
  }
  await close();
  folder.discard();
  if (isFirstNode(read)) await tellVerdicts(folder.path, io);
}

// --- internal ---

/** Not args.json: ms-swift writes its own, which `swift infer` and `swift export` read. */
const ARGS = 'sightline_args.json';

const isFirstNode = ({ args }: MsSwiftArguments): boolean => (args.nodeRank ?? 0) === 0;

/** Only the first machine claims the folder. The others write into it. */
function folderOf(read: MsSwiftArguments): OutputFolder {
  const { outputDir, addVersion } = read.args;
  if (isFirstNode(read)) return createOutputFolder(outputDir, addVersion);
  makeFolders(resolve(outputDir));
  return { path: resolve(outputDir), discard: () => undefined, remove: () => undefined, release: () => undefined };
}

/** Prints the command and its environment for a shell. Missing packages are only warnings here. */
async function dryRun(read: MsSwiftArguments, io: Io): Promise<void> {
  const facts = await lookAtEnvironment(read, io.env, io.signal);
  if (facts.fault !== null) {
    const { message, hint } = facts.fault;
    io.stderr.write(`warning: ${message}${hint === undefined ? '' : `\n  fix: ${hint}`}\n`);
  }
  const { outputDir, addVersion } = read.args;
  const plan = planRun(read, facts, resolve(outputDir), addVersion, io.env);
  for (const text of [...read.notices, ...notesOn(read, facts)]) io.stderr.write(`note: ${text}\n`);
  for (const { from, to } of plan.data.copies)
    io.stderr.write(`note: ${to} is written when the run begins: a copy of ${from} with absolute image paths\n`);
  io.stdout.write(`${commandText(plan)}\n`);
}

function commandText({ env, program, before, words }: Plan): string {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${shellWord(value)}`);
  const command = [program, ...before].map(shellWord).join(' ');
  return [...variables, command, ...flagLines(words)].join(' \\\n  ');
}

/** One line per flag, with its values. */
function flagLines(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words) {
    if (word.startsWith('--')) lines.push(word);
    else lines.push(`${lines.pop()} ${shellWord(word)}`);
  }
  return lines;
}

function notesOn({ args, handedOn }: MsSwiftArguments, { gpus, notes }: EngineFacts): string[] {
  const many = gpus !== null && gpus > 1 && args.nprocPerNode === null;
  return [
    ...notes,
    ...(gpus === null ? ['the command assumes a machine with GPUs'] : []),
    ...(gpus === 0 ? ['torch sees no GPU: ms-swift trains on the CPU, in float32'] : []),
    ...(many ? [`one process trains, on a machine with ${gpus} GPUs; --nproc_per_node ${gpus} uses all of them`] : []),
    ...(args.maxLength !== null && !handedOn.has('truncation_strategy') && args.truncationStrategy === 'raise'
      ? [`ms-swift cannot end the run at a row longer than --max_length ${args.maxLength}; it leaves such rows out`]
      : []),
    ...(args.externalPlugins.some(isPython) ? ['rewards of Python plugins are computed by ms-swift'] : []),
  ];
}

/** Checkpoints of ms-swift do not have the file of the system prompt that those of sightline have. */
function nextCommands({ args }: MsSwiftArguments, outputDir: string, checkpoint: string): readonly string[] {
  const tuner: string = args.tunerType;
  if (tuner === 'lora') return commandsForAdapter(checkpoint, '');
  if (tuner !== 'full') return [`swift export --adapters ${shellWord(checkpoint)} --merge_lora true`];
  return commandsFor(checkpoint, args.system === null ? '' : ` --system ${shellWord(join(outputDir, SYSTEM_FILE))}`);
}
