/**
 * A run of ms-swift, from checked arguments to the end of its last process.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { MsSwiftArguments } from '../arguments/arguments.ts';
import type { Environment } from '../arguments/parse.ts';
import { readJsonFileIfPresent } from '../checkpoint/json_file.ts';
import { readImageProcessorConfig } from '../models/image_processing.ts';
import { ARCHITECTURES } from '../models/registry.ts';
import { ormFiles, orms } from '../rewards/registry.ts';
import { statedSignals } from '../rewards/signals.ts';
import { SYSTEM_FILE } from '../train/checkpoint_files.ts';
import type { RunContext, ShownSignal, TrainEvent } from '../train/events.ts';
import { shownSignals } from '../train/signals.ts';
import { type DatasetPlan, planDatasets, writeCopy } from './datasets.ts';
import { asksFor, type EngineFacts } from './environment.ts';
import { failureOf } from './failure.ts';
import { PLUGIN, PROGRAM } from './files.ts';
import { followFile } from './follow_file.ts';
import { launch } from './launch.ts';
import { type Translation, translate } from './translate.ts';
import { type LogWatch, watchLog } from './watch_log.ts';

export interface Plan extends Translation {
  readonly program: string;
  /** Words before `words`. */
  readonly before: readonly string[];
  readonly data: DatasetPlan;
}

/**
 * The command for a run, whose folder need not exist yet.
 *
 * Errors: E_ARGUMENTS, E_PROCESSOR_INVALID and their like: the checkpoint's image processor cannot be read
 */
export function planRun(
  args: MsSwiftArguments,
  facts: EngineFacts,
  outputDir: string,
  addVersion: boolean,
  env: Environment,
): Plan {
  const { args: values } = args;
  const node = values.nodeRank ?? 0;
  const data = planDatasets(
    values,
    join(outputDir, node === 0 ? 'rows' : `rows-node${node}`),
    env.ROOT_IMAGE_DIR || null,
  );
  const { minPixels, maxPixels } = readImageProcessorConfig(values.modelDir, {
    minPixels: values.minPixels ?? undefined,
    maxPixels: values.maxPixels ?? undefined,
  });
  const modelType = readJsonFileIfPresent(join(values.modelDir, 'config.json'))?.model_type;
  const known = ARCHITECTURES.find((architecture) => architecture.modelType === modelType);
  const translation = translate(
    args,
    {
      ...{ outputDir, addVersion, minPixels, maxPixels },
      ...{ dataset: data.dataset, valDataset: data.valDataset, imageRoot: data.imageRoot },
      systemFile: values.system === null ? null : join(outputDir, SYSTEM_FILE),
      plugin: PLUGIN,
      node: process.execPath,
      cli: PROGRAM,
      onCpu: facts.gpus === 0 || asksFor(args, 'use_cpu'),
      modelType: known?.modelType ?? null,
    },
    env,
  );
  return { ...translation, program: values.enginePython, before: ['-m', 'swift.cli.main', 'rlhf'], data };
}

/** Runs ms-swift and emits the events of the run. Errors: E_ENGINE_FAILED with the exit code of ms-swift. */
export async function runMsSwift(
  plan: Plan,
  args: MsSwiftArguments,
  watch: LogWatch,
  run: RunContext,
  env: Environment,
): Promise<void> {
  const { outputDir, signal, emit } = run;
  const node = args.args.nodeRank ?? 0;
  const logFile = join(outputDir, node === 0 ? LOG : `ms_swift-node${node}.log`);
  for (const copy of plan.data.copies) await writeCopy(copy, args.args.columns);
  if (args.args.system !== null && node === 0) writeFileSync(join(outputDir, SYSTEM_FILE), args.args.system);
  const output = followFile(logFile);
  const records = followFile(join(outputDir, 'logging.jsonl'));
  /** Emits output before records, because it has the sizes for the start event; but records before saves. */
  const tell = async (lines: readonly string[], rows: readonly string[]): Promise<void> => {
    const events = lines.flatMap((line) => watch.line(line));
    const isSaved = ({ type }: TrainEvent): boolean => type === 'checkpoint';
    for (const event of events) if (!isSaved(event)) await emit(event);
    for (const row of rows) if (row.trim() !== '') for (const event of watch.record(row)) await emit(event);
    for (const event of events) if (isSaved(event)) await emit(event);
  };
  await emit({ type: 'notice', level: 'info', text: `note: the output of ms-swift is in ${logFile}` });
  await emit({ type: 'phase', phase: 'open model', begins: true });
  const code = await launch({
    command: [plan.program, ...plan.before, ...plan.words],
    env: { ...env, ...plan.env },
    logFile,
    signal,
    onTick: async () => {
      const lines = output.next();
      await tell(watch.hasStarted() ? lines : [...lines, output.unfinished()], records.next());
    },
  });
  await tell(output.rest(), records.rest());
  if (signal.aborted) {
    if (watch.hasStarted()) await emit(watch.end('interrupted'));
    else signal.throwIfAborted();
  } else if (code !== 0) throw failureOf(endOf(logFile), code, logFile);
  else await emit(watch.end('completed'));
}

export function watchRun(args: MsSwiftArguments, outputDir: string): LogWatch {
  return watchLog({
    modelDir: resolve(args.args.modelDir),
    outputDir,
    changed: args.changed,
    signals: signalsOf(args),
  });
}

// --- internal ---

const LOG = 'ms_swift.log';
/** Bytes at the end of a log that are searched for an error. */
const TAIL = 1 << 20;

/** Signals of the rewards that sightline knows. */
function signalsOf({ args }: MsSwiftArguments): ShownSignal[] {
  const known = args.rewardFuncs.filter((name) => orms[name] !== undefined);
  return shownSignals(known.map((name) => ({ signals: statedSignals(name, orms[name]!, ormFiles.get(name)) })));
}

function endOf(path: string): string {
  if (!existsSync(path)) return '';
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, TAIL));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8');
  } finally {
    closeSync(fd);
  }
}
