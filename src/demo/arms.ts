/**
 * Summarises the arms of a comparison over their seeds: mean and sample deviation of logged metrics, as Markdown tables.
 * Knows log records and metric names, not how the runs were made.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, SightlineError } from '../errors.ts';
import { mean, sampleStd } from '../grpo/statistics.ts';

export type Metrics = Readonly<Record<string, number>>;

export interface LogRecord {
  readonly step: number;
  readonly metrics: Metrics;
}

/** The log records of one run in order of steps. Metrics of evaluations have no `eval_` prefix. */
export interface Run {
  readonly seed: string;
  readonly training: readonly LogRecord[];
  readonly evaluations: readonly LogRecord[];
}

export interface Arm {
  readonly name: string;
  readonly runs: readonly Run[];
  /** Folders of runs that were stopped or are still running. */
  readonly unfinished: readonly string[];
}

const ACCURACY = 'rewards/MultiModalAccuracyORM/mean';
const FORMAT = 'rewards/Format/mean';
const TDR = 'attention/tdr_mean';
const LENGTH = 'completions/mean_length';
const CORRELATION = 'attention/corr_tdr_MultiModalAccuracyORM';

/** Held-out accuracy that counts as solved. */
const SOLVED = 0.95;
/** Training steps averaged at either end of a run. */
const WINDOW = 5;

/**
 * Reads `<root>/<arm>/seed-<n>/logging.jsonl` of the named arms. Unfinished runs are only listed.
 *
 * Errors: E_RUN_MISSING if an arm has no finished run; E_LOG_INVALID, with the line number, for a line that is not a log record.
 */
export async function readArms(root: string, names: readonly string[]): Promise<Arm[]> {
  return Promise.all(names.map(async (name) => ({ name, ...(await readRuns(join(root, name))) })));
}

/**
 * Writes two tables: held-out accuracy by step, and the change of other metrics from the first to the last evaluation or step.
 * A value that no run logged is shown as `–`. Deviations (over seeds, n - 1) are omitted for a single run.
 */
export function summariseArms(arms: readonly Arm[]): string {
  const runs = arms.flatMap((arm) => arm.runs);
  const steps = [...new Set(runs.flatMap((run) => run.evaluations.map(({ step }) => step)))].sort((a, b) => a - b);
  const accuracy = table(
    ['arm', 'seeds', ...steps.map((step) => `step ${step}`), `first at ${SOLVED} or more`],
    arms.map((arm) => [
      arm.name,
      String(arm.runs.length),
      ...steps.map((step) => meanAndDeviation(arm.runs.map((run) => at(run.evaluations, step, ACCURACY)))),
      arm.runs.map((run) => firstSolved(run) ?? 'never').join(', '),
    ]),
  );
  const others = table(
    [
      'arm',
      'TDR, held out',
      'length, held out',
      `correlation of TDR and accuracy, first and last ${WINDOW} steps`,
      `sampled accuracy, last ${WINDOW} steps`,
      `sampled format, last ${WINDOW} steps`,
    ],
    arms.map(({ name, runs }) => [
      name,
      change(runs, (run) => [run.evaluations.at(0)?.metrics[TDR], run.evaluations.at(-1)?.metrics[TDR]]),
      change(runs, (run) => [run.evaluations.at(0)?.metrics[LENGTH], run.evaluations.at(-1)?.metrics[LENGTH]]),
      change(runs, ({ training }) => [
        meanOf(training.slice(0, WINDOW), CORRELATION),
        meanOf(training.slice(-WINDOW), CORRELATION),
      ]),
      meanAndDeviation(runs.map(({ training }) => meanOf(training.slice(-WINDOW), ACCURACY))),
      meanAndDeviation(runs.map(({ training }) => meanOf(training.slice(-WINDOW), FORMAT))),
    ]),
  );
  const unfinished = arms.flatMap((arm) => arm.unfinished);
  const leftOut = unfinished.length === 0 ? '' : `\nLeft out because they are not finished: ${unfinished.join(', ')}\n`;
  return `Held-out accuracy, mean ± sample deviation over seeds\n\n${accuracy}\n\nOther measures\n\n${others}\n${leftOut}`;
}

/**
 * The records of a logging.jsonl, and whether its run was completed. Error: E_LOG_INVALID.
 *
 * @param where the file's name in errors
 */
export function parseLog(
  text: string,
  where: string,
): { training: LogRecord[]; evaluations: LogRecord[]; isFinished: boolean } {
  const training: LogRecord[] = [];
  const evaluations: LogRecord[] = [];
  let isFinished = false;
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const record = parseLine(line, `${where}:${i + 1}`);
    if (record.closes) isFinished = record.status === 'completed';
    if (record.closes) continue;
    const { step, metrics } = record;
    const evaluated = Object.entries(metrics).filter(([name]) => name.startsWith('eval_'));
    if (evaluated.length === 0) training.push({ step, metrics });
    else {
      const unprefixed = evaluated.map(([name, value]) => [name.slice('eval_'.length), value]);
      evaluations.push({ step, metrics: Object.fromEntries(unprefixed) });
    }
  }
  return { training, evaluations, isFinished };
}

// --- internal ---

async function readRuns(dir: string): Promise<Omit<Arm, 'name'>> {
  const entries = await readdir(dir).catch((error: unknown) => {
    throw missing(dir, error);
  });
  const seeds = entries
    .map((name) => /^seed-(\d+)$/.exec(name)?.[1])
    .filter((seed) => seed !== undefined)
    .sort((a, b) => Number(a) - Number(b));
  if (seeds.length === 0) throw missing(dir);
  const read = await Promise.all(
    seeds.map(async (seed) => {
      const folder = join(dir, `seed-${seed}`);
      const path = join(folder, 'logging.jsonl');
      // A run that has just started has no log yet.
      const text = await readFile(path, 'utf8').catch(() => '');
      return { folder, seed, ...parseLog(text, path) };
    }),
  );
  const runs = read.filter(({ isFinished }) => isFinished);
  if (runs.length === 0) throw missing(dir);
  return { runs, unfinished: read.filter(({ isFinished }) => !isFinished).map(({ folder }) => folder) };
}

function missing(where: string, cause?: unknown): SightlineError {
  return new SightlineError('E_RUN_MISSING', 'no finished run of this arm', {
    where,
    hint: 'expected ARM/seed-N/logging.jsonl, as examples/train/grpo/compare_arms.sh leaves them',
    cause,
  });
}

/** Parses one line. The last record of a run contains the history and the run's status instead of metrics. */
function parseLine(line: string, where: string): ({ closes: false } & LogRecord) | { closes: true; status: unknown } {
  const hint = 'check that this is the logging.jsonl of a run';
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch (error) {
    throw new SightlineError('E_LOG_INVALID', `not a JSON line: ${messageOf(error)}`, { where, hint, cause: error });
  }
  const entries = Object.entries(record ?? {});
  const field = (key: string): unknown => entries.find(([name]) => name === key)?.[1];
  if (field('log_history') !== undefined) return { closes: true, status: field('status') };
  // ms-swift logs the step as "3/40".
  const position = field('global_step/max_steps');
  const step = Number.parseInt(String(position), 10);
  if (Number.isNaN(step)) {
    throw new SightlineError('E_LOG_INVALID', `a log record without "global_step/max_steps"`, { where, hint });
  }
  return { closes: false, step, metrics: Object.fromEntries(entries.filter(([, value]) => typeof value === 'number')) };
}

function at(records: readonly LogRecord[], step: number, name: string): number | undefined {
  return records.find((record) => record.step === step)?.metrics[name];
}

function firstSolved(run: Run): number | undefined {
  return run.evaluations.find(({ metrics }) => (metrics[ACCURACY] ?? 0) >= SOLVED)?.step;
}

function meanOf(records: readonly LogRecord[], name: string): number | undefined {
  return mean(records.map(({ metrics }) => metrics[name]).filter((value) => value !== undefined)) ?? undefined;
}

/** Formats `before -> after`, each as mean and deviation over the runs. */
function change(runs: readonly Run[], ends: (run: Run) => [number | undefined, number | undefined]): string {
  const both = runs.map(ends);
  return both.length === 0 ? '–' : [0, 1].map((i) => meanAndDeviation(both.map((pair) => pair[i]))).join(' -> ');
}

function meanAndDeviation(values: readonly (number | undefined)[]): string {
  const present = values.filter((value) => value !== undefined);
  const average = mean(present);
  if (average === null) return '–';
  const deviation = present.length === 1 ? '' : ` ± ${sampleStd(present).toFixed(3)}`;
  const share = present.length === values.length ? '' : ` (${present.length} of ${values.length} runs)`;
  return `${average.toFixed(3)}${deviation}${share}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
