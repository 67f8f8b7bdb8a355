/**
 * What runs have left: checkpoints, and where their time went.
 */
import { duration, number } from './format.ts';
import type { ShownRun } from './runs_view.tsx';

export function EndsPanel({ shown }: { shown: readonly ShownRun[] }) {
  return (
    <section class="ends">
      {shown.map(({ run, colour }) => (
        <article key={run.id} class="card">
          <h2>
            <i class="swatch" style={{ background: colour }} />
            {run.name}
          </h2>
          {run.end === null ? (
            <p class="quiet-text">The run has not written its last record yet; checkpoints are named there.</p>
          ) : (
            <>
              <dl class="facts">
                <dt>ended</dt>
                <dd>{run.end.status ?? 'not logged'}</dd>
                <dt>time</dt>
                <dd>{run.end.runtime === null ? 'not logged' : duration(run.end.runtime)}</dd>
                <dt>best</dt>
                <dd class="path">{run.end.bestCheckpoint ?? 'none'}</dd>
                <dt>best metric</dt>
                <dd>{number(run.end.bestMetric)}</dd>
                <dt>last</dt>
                <dd class="path">{run.end.lastCheckpoint ?? 'none'}</dd>
              </dl>
              <TimeBar seconds={run.end.seconds} />
            </>
          )}
        </article>
      ))}
    </section>
  );
}

// --- internal ---

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
