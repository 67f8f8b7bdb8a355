/**
 * Routes of the numbers: curves of metrics, as JSON for charts and as CSV, and correlations between columns.
 */
import { Hono } from 'hono';
import { z } from 'zod';
import { csvText } from '../util/csv.ts';
import type { CorrelationCurve } from './api.ts';
import { correlation } from './curves.ts';
import type { Env } from './guard.ts';
import type { Library } from './library.ts';
import { count, readQuery } from './query.ts';
import type { Run } from './run.ts';
import { stepTimesOf } from './step_times.ts';

export function curveRoutes(library: Library): Hono<Env> {
  const routes = new Hono<Env>();
  const chosen = (ids: readonly string[]): Run[] => ids.map((id) => library.run(id)).filter((run) => run !== undefined);

  routes.get('/curves', (context) => {
    const read = readQuery(context, CURVES, ['run', 'metric']);
    if ('fault' in read) return read.fault;
    const { run, metric, weight, points } = read.query;
    const curves = chosen(run).flatMap((each) => {
      const known = new Set(each.metrics.metrics());
      return metric
        .filter((name) => known.has(name))
        .map((name) => each.metrics.curve(each.folder.id, name, weight, points));
    });
    return context.json({ curves });
  });

  routes.get('/curves.csv', (context) => {
    const read = readQuery(context, TABLE, ['run', 'metric']);
    if ('fault' in read) return read.fault;
    const lines = chosen(read.query.run).flatMap((each) =>
      read.query.metric.flatMap((name) => {
        const { steps, values } = each.metrics.values(name);
        return steps.map((step, i) => [csvText(each.folder.name), csvText(name), step, values[i] ?? ''].join(','));
      }),
    );
    return context.body(['run,metric,step,value', ...lines, ''].join('\r\n'), 200, {
      'Content-Type': 'text/csv; charset=utf-8',
      'Content-Disposition': 'attachment; filename="curves.csv"',
    });
  });

  routes.get('/runs/:id/correlations', (context) => {
    const run = library.run(context.req.param('id'));
    const read = readQuery(context, WITH);
    if (run === undefined) return context.notFound();
    if ('fault' in read) return read.fault;
    return context.json({ curves: correlationsWith(run, read.query.column) });
  });

  routes.get('/runs/:id/step_times', (context) => {
    const run = library.run(context.req.param('id'));
    return run === undefined ? context.notFound() : context.json(stepTimesOf(run.metrics, BARS));
  });

  return routes;
}

// --- internal ---

/** About as many as a screen has room for. */
const BARS = 240;

const names = z.array(z.string().max(500)).min(1).max(64);
const weight = z
  .string()
  .regex(/^0(\.\d{1,6})?$/)
  .transform(Number)
  .default(0);
const CURVES = z.object({
  run: names,
  metric: names,
  weight,
  points: count.pipe(z.number().min(4).max(5000)).default(800),
});
const TABLE = z.object({ run: names, metric: names });
const WITH = z.object({ column: z.string().max(500) });

/** Pearson's correlation of every other column with this one, step by step. */
function correlationsWith(run: Run, column: string): CorrelationCurve[] {
  const steps = new Map<number, number[]>();
  for (const { step, rows } of run.table.groups) {
    const known = steps.get(step);
    if (known === undefined) steps.set(step, [...rows]);
    else known.push(...rows);
  }
  const ordered = [...steps].sort(([a], [b]) => a - b);
  const values = (name: string, rows: readonly number[]) => rows.map((row) => run.table.value(name, row));
  return run.table
    .columns()
    .filter(({ name }) => name !== column)
    .map(({ name }) => ({
      column: name,
      steps: ordered.map(([step]) => step),
      values: ordered.map(([, rows]) => correlation(values(name, rows), values(column, rows))),
    }));
}
