/**
 * Turns the output and the logging.jsonl of ms-swift into events of a run.
 * Knows neither files nor processes.
 *
 * Source: ms-swift 4.6.0 trainers/patcher.py (records), utils (model_parameter_info), and the plugin's telling.py.
 */
import type { EndEvent, Metrics, ShownSignal, StartEvent, TrainEvent } from '../train/events.ts';
import { isJsonObject, type Json } from '../util/json.ts';

export interface LogWatch {
  /** Events of a line of the output. */
  line(text: string): TrainEvent[];
  /** Events of a line of logging.jsonl. */
  record(text: string): TrainEvent[];
  /** Whether the `start` event has been returned. */
  hasStarted(): boolean;
  end(status: EndEvent['status']): EndEvent;
  /** Largest memory in the records so far, in GiB; 0 without any, as on a CPU. */
  memory(): number;
}

export interface WatchedRun {
  readonly modelDir: string;
  readonly outputDir: string;
  readonly changed: Readonly<Record<string, Json>>;
  readonly signals: readonly ShownSignal[];
}

export function watchLog({ modelDir, outputDir, changed, signals }: WatchedRun): LogWatch {
  let model: StartEvent['model'] = { dir: modelDir, architecture: 'unknown', parameters: 0, trainable: 0 };
  const rows = { train: 0, val: 0 };
  let counted: keyof typeof rows | null = null;
  let place: { step: number; maxSteps: number } | null = null;
  let isEvaluating = false;
  let isTold = false;
  let memory = 0;
  let firstLog: Metrics | null = null;
  let lastLog: Metrics | null = null;
  let evalBefore: Metrics | null = null;
  let evalAfter: Metrics | null = null;
  let last: Pick<EndEvent, 'lastCheckpoint' | 'bestCheckpoint' | 'bestMetric'> = {
    lastCheckpoint: null,
    bestCheckpoint: null,
    bestMetric: null,
  };

  /** The start event, or the progress since. */
  function started(step: number, maxSteps: number): TrainEvent[] {
    const isFirst = place === null;
    const isNew = place === null || step > place.step;
    place = { step: Math.max(step, place?.step ?? 0), maxSteps };
    if (!isFirst) return isNew ? [{ type: 'progress', step, maxSteps, epoch: 0 }] : [];
    const data = { rows: rows.train, evalRows: rows.val, dropped: {} };
    return [{ type: 'start', command: 'rlhf', changed, model, data, outputDir, step, maxSteps, signals }];
  }

  function progress(text: string): TrainEvent[] {
    const step = /^Train:\s+\d+%\|[^|]*\| (\d+)\/(\d+) \[/.exec(text);
    if (step !== null) return started(Number(step[1]), Number(step[2]));
    const evaluated = /^Val:\s+\d+%\|[^|]*\| (\d+)\/(\d+) \[/.exec(text);
    if (evaluated !== null && place !== null) {
      const begins = !isEvaluating;
      isEvaluating = true;
      const [done, total] = [Number(evaluated[1]), Number(evaluated[2])];
      return done === total && begins ? [] : [{ type: 'phase', phase: 'eval', begins, done, total }];
    }
    const saved = /Saving model checkpoint to (.+)$/.exec(text)?.[1];
    if (saved === undefined) return [];
    return [{ type: 'checkpoint', step: Number(/\d+$/.exec(saved)?.[0] ?? 0), dir: saved }];
  }

  /** Lines of the plugin, which may follow a progress bar, with their `at:` and `fix:` lines. */
  function told(text: string): TrainEvent[] {
    const [, level, debug, other] =
      /\[(INFO|WARNING):swift\] (?:(\[DDAPO_DEBUG\].*)|sightline: (.*))$/.exec(text) ?? [];
    const goesOn = isTold && /^ {2}(at|fix): /.test(text);
    isTold = level !== undefined || goesOn;
    if (debug !== undefined) return [{ type: 'notice', level: 'debug', text: debug }];
    if (other !== undefined) return [{ type: 'notice', level: level === 'WARNING' ? 'warn' : 'info', text: other }];
    return goesOn ? [{ type: 'notice', level: 'info', text }] : [];
  }

  function numbers(record: Readonly<Record<string, unknown>>): TrainEvent[] {
    const [step, maxSteps] = String(record[STEPS] ?? '')
      .split('/')
      .map(Number) as [number, number];
    if (!Number.isInteger(step) || !Number.isInteger(maxSteps)) return [];
    if (typeof record[MEMORY] === 'number') memory = Math.max(memory, record[MEMORY]);
    const epoch = typeof record.epoch === 'number' ? record.epoch : 0;
    const isEval = Object.keys(record).some((name) => name.startsWith(EVAL));
    const metrics = metricsOf(record, isEval ? EVAL : '');
    const before = started(step, maxSteps);
    if (isEval) {
      if (step === 0) evalBefore = metrics;
      else evalAfter = metrics;
      isEvaluating = false;
      return [...before, { type: 'eval', step, maxSteps, epoch, metrics }];
    }
    if ('train_runtime' in record) return before;
    firstLog ??= metrics;
    lastLog = metrics;
    return [...before, { type: 'log', step, maxSteps, epoch, metrics }];
  }

  return {
    line(text) {
      const size = /model_parameter_info: (\S+): ([\d.]+)M Params \(([\d.]+)M Trainable/.exec(text);
      if (size !== null) {
        const [, architecture, all, trained] = size as unknown as [string, string, string, string];
        model = { ...model, architecture, parameters: Number(all) * 1e6, trainable: Number(trained) * 1e6 };
      }
      const dataset = /\] (train|val)_dataset: Dataset/.exec(text)?.[1];
      if (dataset !== undefined) counted = dataset as keyof typeof rows;
      const count = /^\s+num_rows: (\d+)/.exec(text)?.[1];
      if (count !== undefined && counted !== null) {
        rows[counted] = Number(count);
        counted = null;
      }
      return [...progress(text), ...told(text)];
    },
    record(text) {
      const record: unknown = JSON.parse(text);
      if (!isJsonObject(record)) return [];
      if (LAST in record) {
        const { [LAST]: lastCheckpoint, best_model_checkpoint: best, best_metric: metric } = record;
        last = { lastCheckpoint: textOf(lastCheckpoint), bestCheckpoint: textOf(best), bestMetric: numberOf(metric) };
        return [];
      }
      return numbers(record);
    },
    hasStarted: () => place !== null,
    memory: () => memory,
    end: (status) => ({
      type: 'end',
      status,
      step: place?.step ?? 0,
      maxSteps: place?.maxSteps ?? 0,
      firstLog,
      lastLog,
      evalBefore,
      evalAfter,
      outputDir,
      seconds: {},
      ...last,
    }),
  };
}

// --- internal ---

const STEPS = 'global_step/max_steps';
const MEMORY = 'memory(GiB)';
const EVAL = 'eval_';
/** A key of the last record only. */
const LAST = 'last_model_checkpoint';
/** Numbers that are not metrics. */
const NO_METRICS = new Set([MEMORY, 'train_speed(s/it)', 'epoch']);

function metricsOf(record: Readonly<Record<string, unknown>>, prefix: string): Metrics {
  const metrics = Object.entries(record).filter(
    ([name, value]) => typeof value === 'number' && !NO_METRICS.has(name) && name.startsWith(prefix),
  );
  return Object.fromEntries(metrics.map(([name, value]) => [name.slice(prefix.length), value as number]));
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);
