/**
 * The numbers of logging.jsonl by metric and step, of sightline and of ms-swift.
 * Source of the records: ms-swift 4.6.0 trainers/patcher.py; `src/report/records.ts` writes the same.
 */
import { isJsonObject } from '../util/json.ts';
import type { Curve, RunEnd } from './api.ts';
import { reducedIndices, smoothed } from './curves.ts';
import { createNumberColumn, type NumberColumn } from './numbers.ts';

export interface MetricLog {
  /** Takes a line. Returns the reason if it is not a record. */
  line(text: string): string | null;
  clear(): void;
  metrics(): readonly string[];
  /** The latest step, and the step at which the run ends; null before the first record. */
  place(): { readonly step: number; readonly maxSteps: number } | null;
  end(): RunEnd | null;
  curve(run: string, metric: string, weight: number, points: number): Curve;
  /** All values of a metric with their steps, for export. */
  values(metric: string): { readonly steps: readonly number[]; readonly values: readonly (number | null)[] };
}

export function createMetricLog(): MetricLog {
  let columns = new Map<string, { readonly steps: NumberColumn; readonly values: NumberColumn }>();
  let place: { step: number; maxSteps: number } | null = null;
  let end: RunEnd | null = null;

  const series = (metric: string) => {
    const column = columns.get(metric);
    const length = column?.values.length ?? 0;
    const order = Array.from({ length }, (_, i) => i);
    const stepAt = (i: number): number => column!.steps.get(i)!;
    if (order.some((i) => i > 0 && stepAt(i) < stepAt(i - 1))) order.sort((a, b) => stepAt(a) - stepAt(b));
    return { steps: order.map(stepAt), values: order.map((i) => column!.values.get(i)) };
  };

  return {
    line(text) {
      if (text.trim() === '') return null;
      let record: unknown;
      try {
        record = JSON.parse(text);
      } catch {
        return 'is not JSON';
      }
      if (!isJsonObject(record)) return 'is not an object';
      if ('last_model_checkpoint' in record) {
        end = endOf(record);
        return null;
      }
      const [step, maxSteps] = String(record[STEPS] ?? '')
        .split('/')
        .map(Number) as [number, number | undefined];
      if (!Number.isFinite(step) || record[STEPS] === undefined) return `has no ${STEPS}`;
      place = {
        step: Math.max(place?.step ?? 0, step),
        maxSteps: Number.isFinite(maxSteps) ? maxSteps! : (place?.maxSteps ?? step),
      };
      // The record of a run that goes on shows that an earlier end was not the last word.
      end = null;
      for (const [name, value] of Object.entries(record)) {
        const number = numberOf(value);
        if (number === undefined || name === STEPS) continue;
        let column = columns.get(name);
        if (column === undefined) {
          column = { steps: createNumberColumn(), values: createNumberColumn() };
          columns.set(name, column);
        }
        // A resumed run may log a step again: the later value replaces the earlier one.
        const index = placeOf(column.steps, step);
        column.steps.set(index, step);
        column.values.set(index, number);
      }
      return null;
    },
    clear() {
      columns = new Map();
      place = null;
      end = null;
    },
    metrics: () => [...columns.keys()],
    place: () => place,
    end: () => end,
    values: series,
    curve(run, metric, weight, points) {
      const { steps, values } = series(metric);
      const smooth = smoothed(values, weight);
      const kept = reducedIndices(values, points);
      return {
        run,
        metric,
        steps: kept.map((i) => steps[i]!),
        values: kept.map((i) => values[i]!),
        smooth: kept.map((i) => smooth[i]!),
        logged: values.length,
      };
    },
  };
}

// --- internal ---

const STEPS = 'global_step/max_steps';

/** Undefined for what is no number. Records hold NaN and infinity as strings; both become gaps. */
function numberOf(value: unknown): number | null | undefined {
  if (typeof value === 'number') return value;
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? null : undefined;
}

/** The index of the step if it is there already, else the next free one. */
function placeOf(steps: NumberColumn, step: number): number {
  for (let index = steps.length - 1; index >= 0 && steps.get(index)! >= step; index--) {
    if (steps.get(index) === step) return index;
  }
  return steps.length;
}

function endOf(record: Readonly<Record<string, unknown>>): RunEnd {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const number = (value: unknown): number | null => (typeof value === 'number' ? value : null);
  const seconds = isJsonObject(record.seconds) ? Object.entries(record.seconds) : [];
  return {
    status: text(record.status),
    lastCheckpoint: text(record.last_model_checkpoint),
    bestCheckpoint: text(record.best_model_checkpoint),
    bestMetric: number(record.best_metric),
    runtime: number(record.train_runtime),
    seconds: Object.fromEntries(seconds.filter((entry): entry is [string, number] => typeof entry[1] === 'number')),
  };
}
