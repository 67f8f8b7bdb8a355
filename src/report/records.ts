/**
 * Writes logging.jsonl and completions.jsonl with the keys and shapes of ms-swift, so that scripts written for it can read them.
 * Append-only, with one write per record. A run that is resumed continues its files from the step that it continues from.
 */
import { join } from 'node:path';
import type { CompletionsEvent, EndEvent, EvalEvent, Listener, LogEvent, TrainEvent } from '../train/events.ts';
import { NOTICES_FILE } from '../train/run_files.ts';
import { AppendFile } from '../util/append_file.ts';
import type { Json, JsonObject } from '../util/json.ts';
import { cutBack, stepOfLog, stepOfTable } from './cut_back.ts';
import { createStopwatch, type Stopwatch, TIME_COLUMNS } from './stopwatch.ts';

type Line = Record<string, Json>;

const LOGGING_FILE = 'logging.jsonl';
const COMPLETIONS_FILE = 'completions.jsonl';

/**
 * Writes logging.jsonl: one record per log and evaluation, and a last one with the checkpoints and the whole history. The file
 * is created with the first record.
 */
export function loggingJsonl(folder: string, stopwatch: Stopwatch = createStopwatch()): Listener {
  const file = lazyFile(folder, LOGGING_FILE);
  const history: Line[] = [];
  return {
    onEvent(event: TrainEvent) {
      stopwatch.onEvent(event);
      if (event.type === 'start' && event.step > 0) {
        cutBack(join(folder, LOGGING_FILE), event.step, stepOfLog, (record) => void history.push(historyOf(record)));
      }
      if (event.type === 'log' || event.type === 'eval') {
        const values = metricsOf(event);
        history.push({ ...values, step: event.step });
        file.append({ ...values, ...stopwatch.columns(event.step, event.maxSteps) });
      }
      if (event.type === 'end') file.append(lastRecord(event, history, stopwatch));
    },
    close: () => file.close(),
  };
}

/** Writes completions.jsonl: one table of columns per log, as ms-swift does. The file is created with the first table. */
export function completionsJsonl(folder: string): Listener {
  const file = lazyFile(folder, COMPLETIONS_FILE);
  return {
    onEvent(event: TrainEvent) {
      if (event.type === 'start' && event.step > 0) cutBack(join(folder, COMPLETIONS_FILE), event.step, stepOfTable);
      if (event.type === 'completions' && event.rows.length > 0) file.append(columnTable(event));
    },
    close: () => file.close(),
  };
}

/** Writes notices.jsonl: each warning with the number of steps done. The file is created with the first warning. */
export function noticesJsonl(folder: string): Listener {
  const file = lazyFile(folder, NOTICES_FILE);
  const early: string[] = []; // before the run has started, when it is not known yet at which step
  let step: number | null = null;
  return {
    onEvent(event: TrainEvent) {
      if (event.type === 'start') {
        ({ step } = event);
        cutBack(join(folder, NOTICES_FILE), step, ({ step: at }) => (typeof at === 'number' ? at : null));
        for (const text of early) file.append({ step, text });
      }
      if (event.type === 'progress') ({ step } = event);
      if (event.type !== 'notice' || event.level !== 'warn') return;
      if (step === null) early.push(event.text);
      else file.append({ step, text: event.text });
    },
    close: () => file.close(),
  };
}

// --- internal ---

/**
 * The rows as columns: step, prompt, completion, each reward, advantages, each further column, and the origin of the rows. As
 * in ms-swift, `solution` is included only if every row has one.
 */
function columnTable({ step, rows }: CompletionsEvent): Record<string, Json[]> {
  const rewardNames = [...new Set(rows.flatMap((row) => Object.keys(row.rewards)))];
  const extraNames = [...new Set(rows.flatMap((row) => Object.keys(row.extras)))];
  return {
    step: rows.map(() => String(step)),
    prompt: rows.map((row) => row.prompt),
    completion: rows.map((row) => row.completion),
    ...Object.fromEntries(rewardNames.map((name) => [name, rows.map((row) => row.rewards[name] ?? null)])),
    advantages: rows.map((row) => row.advantage),
    ...Object.fromEntries(extraNames.map((name) => [name, rows.map((row) => row.extras[name] ?? null)])),
    ...(rows.every(({ row }) => row.solution !== undefined) && { solution: rows.map(({ row }) => row.solution!) }),
    source: rows.map(({ row }) => row.source),
    index: rows.map(({ row }) => row.index),
    // A path, or null for an image whose bytes are in the row itself.
    images: rows.map(({ row }) => row.images.map((image) => (image.kind === 'path' ? image.path : null))),
  };
}

/** A record of the file as the history has it: with the step in place of the stopwatch's columns. */
function historyOf(record: JsonObject): Line {
  const values = Object.entries(record).filter(([name]) => !(TIME_COLUMNS as readonly string[]).includes(name));
  return { ...(Object.fromEntries(values) as Line), step: stepOfLog(record) };
}

/** Metrics of a log or an evaluation (with the prefix `eval_`), rounded to 8 decimals, and the epoch. */
function metricsOf(event: LogEvent | EvalEvent): Line {
  const prefix = event.type === 'eval' ? 'eval_' : '';
  const named = Object.entries(event.metrics).map(([name, value]) => [prefix + name, round(value)]);
  return { ...Object.fromEntries(named), epoch: round(event.epoch) };
}

function lastRecord(event: EndEvent, history: readonly Line[], stopwatch: Stopwatch): Line {
  return {
    train_runtime: round(stopwatch.elapsed()),
    status: event.status,
    last_model_checkpoint: event.lastCheckpoint,
    best_model_checkpoint: event.bestCheckpoint,
    best_metric: event.bestMetric,
    global_step: event.step,
    log_history: history,
    memory: stopwatch.memory(),
    ...(stopwatch.deviceMemory() === null ? {} : { device_memory: stopwatch.deviceMemory() }),
    seconds: event.seconds,
  };
}

/** Rounds as ms-swift does. NaN and infinity, which JSON does not have, become strings, so that they stay visible. */
function round(value: number): Json {
  return Number.isFinite(value) ? Number(value.toFixed(8)) : String(value);
}

function lazyFile(folder: string, name: string) {
  let file: AppendFile | null = null;
  return {
    append(record: Line): void {
      file ??= new AppendFile(join(folder, name));
      file.append(`${JSON.stringify(record)}\n`);
    },
    close: () => file?.close(),
  };
}
