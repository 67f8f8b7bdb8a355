/**
 * Where the time of each step went, for a picture of stacked bars.
 */
import type { StepTimes } from './api.ts';
import type { MetricLog } from './metric_log.ts';

/**
 * @param points most bars; each is the mean of neighbouring steps if there are more of them
 * @returns parts in the order of the log, and the rest of the step as `other`; the whole step if the log does not split it
 */
export function stepTimesOf(log: MetricLog, points: number): StepTimes {
  const metrics = log.metrics().filter((name) => name.startsWith(PART));
  const whole = log.values('step_time');
  const steps = [...new Set([whole, ...metrics.map(log.values)].flatMap((series) => series.steps))].sort(
    (a, b) => a - b,
  );
  const places = new Map(steps.map((step, i) => [step, i]));
  const column = (metric: string): number[] => {
    const values = new Array<number>(steps.length).fill(0);
    const series = log.values(metric);
    for (const [i, step] of series.steps.entries()) values[places.get(step)!] = series.values[i] ?? 0;
    return values;
  };
  const parts = metrics.map((metric) => ({ name: metric.slice(PART.length), metric, values: column(metric) }));
  const rest = column('step_time').map((total, i) =>
    Math.max(0, total - parts.reduce((sum, { values }) => sum + values[i]!, 0)),
  );
  if (rest.some((value) => value > 0))
    parts.push({ name: metrics.length === 0 ? 'whole step' : 'other', metric: 'step_time', values: rest });
  const width = Math.max(1, Math.ceil(steps.length / points));
  return {
    steps: steps.filter((_, i) => i % width === 0),
    width,
    parts: parts.map((part) => ({ ...part, values: means(part.values, width) })),
  };
}

// --- internal ---

const PART = 'step_time/';

/** The mean of each `width` neighbours; the last one of what remains. */
function means(values: readonly number[], width: number): number[] {
  return Array.from({ length: Math.ceil(values.length / width) }, (_, i) => {
    const some = values.slice(i * width, (i + 1) * width);
    return some.reduce((sum, value) => sum + value, 0) / some.length;
  });
}
