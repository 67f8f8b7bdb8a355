/**
 * What runs have left: checkpoints, and where their time went.
 */
import type { Checkpoints } from '../src/ui/api.ts';
import { useJson, useVersion } from './data.ts';
import { ago, decimal, duration, number } from './format.ts';
import type { ShownRun } from './runs_view.tsx';
import { StepTimesChart } from './step_times_chart.tsx';

export function EndsPanel({ shown, isDark }: { shown: readonly ShownRun[]; isDark: boolean }) {
  return (
    <section class="ends">
      {shown.map((each) => (
        <div key={each.run.id} class="run-end">
          <RunEnds shown={each} />
          <StepTimesChart run={each.run} isDark={isDark} />
        </div>
      ))}
    </section>
  );
}

// --- internal ---

function RunEnds({ shown: { run, colour } }: { shown: ShownRun }) {
  const version = useVersion([run.id]);
  const { data, error } = useJson<Checkpoints>(`/api/runs/${run.id}/checkpoints`, version);
  return (
    <article class="card">
      <h2>
        <i class="swatch" style={{ background: colour }} />
        {run.name}
      </h2>
      <dl class="facts">
        <dt>ended</dt>
        <dd>{run.end === null ? 'no: the last record is not written yet' : (run.end.status ?? 'not logged')}</dd>
        {run.end !== null && (
          <>
            <dt>time</dt>
            <dd>{run.end.runtime === null ? 'not logged' : duration(run.end.runtime)}</dd>
            <dt>best</dt>
            <dd class="path">{run.end.bestCheckpoint ?? 'none'}</dd>
            <dt>best metric</dt>
            <dd>{number(run.end.bestMetric)}</dd>
            <dt>last</dt>
            <dd class="path">{run.end.lastCheckpoint ?? 'none'}</dd>
          </>
        )}
      </dl>
      {error !== null && <p class="error">{error}</p>}
      {data !== null && <CheckpointTable checkpoints={data} />}
      {run.end !== null && <TimeBar seconds={run.end.seconds} />}
    </article>
  );
}

function CheckpointTable({ checkpoints: { metric, checkpoints } }: { checkpoints: Checkpoints }) {
  if (checkpoints.length === 0) return <p class="quiet-text">There is no checkpoint in the folder of the run.</p>;
  return (
    <table class="checkpoints">
      <thead>
        <tr>
          <th scope="col">checkpoint</th>
          <th scope="col" class="num">
            {metric ?? 'no evaluation'}
          </th>
          <th scope="col" class="num">
            saved
          </th>
          <th />
        </tr>
      </thead>
      <tbody>
        {checkpoints.map(({ name, value, savedAt, isBest, isLast }) => (
          <tr key={name} class={isBest ? 'best' : ''}>
            <th scope="row">{name}</th>
            <td class="num">{decimal(value)}</td>
            <td class="num" title={new Date(savedAt).toLocaleString()}>
              {ago(savedAt)}
            </td>
            <td>
              {isBest && <span class="chip">best</span>} {isLast && <span class="chip">last</span>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function TimeBar({ seconds }: { seconds: Readonly<Record<string, number>> }) {
  const phases = Object.entries(seconds).sort(([, a], [, b]) => b - a);
  const sum = phases.reduce((total, [, value]) => total + value, 0);
  if (sum === 0) return <p class="quiet-text">The run did not log the seconds of its phases.</p>;
  return (
    <table class="time">
      <tbody>
        {phases.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="bar">
              <i style={{ width: `${(100 * value) / phases[0]![1]}%` }} />
            </td>
            <td class="num">{duration(value)}</td>
            <td class="num">{((100 * value) / sum).toFixed(1)} %</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
