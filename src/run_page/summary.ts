/**
 * What a run was and how it ended, in a few lines.
 */
import { curveOf, type RunLog } from '../doctor/run_log.ts';
import { formatNumber } from '../report/text.ts';
import type { CheckpointPlace, Checkpoints, RunSummary } from '../ui/api.ts';
import { formatShortDuration } from '../util/duration.ts';
import { type Html, html } from './html.ts';

export function summaryList(summary: RunSummary, log: RunLog, { checkpoints }: Checkpoints): Html {
  const { end } = summary;
  const phases = Object.entries(end?.seconds ?? {}).sort(([, a], [, b]) => b - a);
  const facts: [string, string][] = [
    ['program', summary.kind],
    ['status', statusOf(summary)],
    ['steps', `${summary.step ?? 0} of ${summary.maxSteps ?? 'an unknown number'}`],
    ['time', timeOf(summary, log)],
    ...(phases.length === 0
      ? []
      : [
          ['of which', phases.map(([name, seconds]) => `${name} ${formatShortDuration(seconds)}`).join(', ')] as [
            string,
            string,
          ],
        ]),
    ['memory', memoryOf(log)],
    ['model', summary.model ?? 'not logged'],
    ['best checkpoint', bestOf(summary, checkpoints)],
    ['last checkpoint', end?.lastCheckpoint ?? checkpoints.find(({ isLast }) => isLast)?.name ?? 'none'],
    ['completions', String(summary.completions)],
    [
      'last written',
      summary.changedAt === null
        ? 'unknown'
        : `${new Date(summary.changedAt).toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    ],
  ];
  const faults = summary.faults.map((fault) => html`<p class="faint">${fault}</p>`);
  return html`<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>${faults}`;
}

// --- internal ---

function statusOf({ state, end }: RunSummary): string {
  if (end !== null) return end.status ?? 'finished';
  if (state === 'live') return 'running: the last record is not written yet';
  return 'ended without its last record: killed, or a step has taken longer than ten minutes';
}

function timeOf({ end }: RunSummary, { records }: RunLog): string {
  if (end?.runtime != null) return formatShortDuration(end.runtime);
  const elapsed = records.at(-1)?.values.elapsed_time;
  return typeof elapsed === 'string' ? `${elapsed} up to the last record` : 'not logged';
}

function memoryOf(log: RunLog): string {
  const [own, onDevice] = ['memory(GiB)', 'device_memory(GiB)'].map((name) => curveOf(log, name).at(-1)?.[1]);
  if (own === undefined) return 'not logged';
  const there = onDevice === undefined ? '' : `, and ${formatNumber(onDevice)} GiB on the device`;
  return `${formatNumber(own)} GiB at most${there}`;
}

function bestOf({ end }: RunSummary, checkpoints: readonly CheckpointPlace[]): string {
  const found = checkpoints.find(({ isBest }) => isBest);
  const [name, value] = [end?.bestCheckpoint ?? found?.name, end?.bestMetric ?? found?.value];
  if (name === undefined) return 'none';
  return value == null ? name : `${name} (${formatNumber(value)})`;
}
