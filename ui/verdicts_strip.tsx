/**
 * What the doctor says of the runs that are shown, above everything else. Nothing where all is well.
 */
import type { Verdict } from '../src/doctor/verdict.ts';
import { useJson } from './data.ts';
import type { ShownRun } from './runs_view.tsx';

export function VerdictsStrip({ shown }: { shown: readonly ShownRun[] }) {
  return (
    <>
      {shown.map((each) => (
        <VerdictsOf key={each.run.id} shown={each} />
      ))}
    </>
  );
}

// --- internal ---

function VerdictsOf({ shown: { run, colour } }: { shown: ShownRun }) {
  const { data } = useJson<{ verdicts: readonly Verdict[] | null }>(
    run.read.done < run.read.total ? null : `/api/runs/${run.id}/verdicts`,
    run.changedAt ?? 0,
  );
  const verdicts = data?.verdicts ?? [];
  if (verdicts.length === 0) return null;
  const severe = verdicts.filter(({ severity }) => severity === 'severe').length;
  return (
    <details class={`verdicts ${severe > 0 ? 'severe' : ''}`}>
      <summary>
        <i class="swatch" style={{ background: colour }} />
        <span class="run-name">{run.name}</span>
        <span class="codes">{verdicts.map(({ code }) => code).join(', ')}</span>
      </summary>
      {verdicts.map(({ code, severity, seen, why, fix }) => (
        <dl key={code} class="facts">
          <dt class={severity}>{code}</dt>
          <dd>{seen}</dd>
          <dt>why</dt>
          <dd>{why}</dd>
          <dt>fix</dt>
          <dd>{fix}</dd>
        </dl>
      ))}
    </details>
  );
}
