/**
 * Where the time of steps went, from the log to the bars of a chart.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RunSummary, StepTimes } from '../../src/ui/api.ts';
import { createMetricLog } from '../../src/ui/metric_log.ts';
import { stepTimesOf } from '../../src/ui/step_times.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { logRecord, writeRun } from './made_runs.ts';
import { serve } from './served.ts';

const folder = temporaryFolder();

function logOf(records: readonly Record<string, unknown>[]) {
  const log = createMetricLog();
  for (const [i, metrics] of records.entries()) log.line(JSON.stringify(logRecord(i + 1, records.length, metrics)));
  return log;
}

test('a part that did not run counts as 0, and what no part explains is the rest', () => {
  const log = logOf([
    { step_time: 4, 'step_time/rollout': 2, 'step_time/update': 1 },
    { step_time: 3, 'step_time/rollout': 3 },
    { eval_reward: 1 },
    { step_time: 2, 'step_time/rollout': 2.5, 'step_time/update': 'NaN' },
  ]);
  expect(stepTimesOf(log, 10)).toEqual({
    steps: [1, 2, 4],
    width: 1,
    parts: [
      { name: 'rollout', metric: 'step_time/rollout', values: [2, 3, 2.5] },
      { name: 'update', metric: 'step_time/update', values: [1, 0, 0] },
      { name: 'other', metric: 'step_time', values: [1, 0, 0] },
    ],
  });
});

test('of more steps than bars, a bar is the mean of neighbours', () => {
  const log = logOf(Array.from({ length: 7 }, (_, i) => ({ 'step_time/rollout': i + 1 })));
  expect(stepTimesOf(log, 3)).toEqual({
    steps: [1, 4, 7],
    width: 3,
    parts: [{ name: 'rollout', metric: 'step_time/rollout', values: [2, 5, 7] }],
  });
});

test('a run that logs only whole steps has one part; one that logs none has none', async () => {
  expect(stepTimesOf(logOf([{ step_time: 4 }]), 10).parts).toEqual([
    { name: 'whole step', metric: 'step_time', values: [4] },
  ]);
  writeRun(join(folder, 'v0'), { log: [logRecord(1, 2, { reward: 1 })] });
  const served = await serve([folder]);
  const { runs } = await served.json<{ runs: RunSummary[] }>('/api/runs');
  expect(await served.json<StepTimes>(`/api/runs/${runs[0]!.id}/step_times`)).toEqual({
    steps: [],
    width: 1,
    parts: [],
  });
});
