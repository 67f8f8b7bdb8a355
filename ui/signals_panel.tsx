/**
 * How each reward and each signal goes along with another one, step by step: a reward that falls as accuracy rises pays for
 * the wrong thing.
 */
import { useMemo } from 'preact/hooks';
import type { CorrelationCurve, RunSummary } from '../src/ui/api.ts';
import { Chart, type Line } from './chart.tsx';
import { useJson, useVersion } from './data.ts';
import type { ShownRun } from './runs_view.tsx';
import { runColour, useSetting } from './settings.ts';

export function SignalsPanel({ shown, isDark }: { shown: readonly ShownRun[]; isDark: boolean }) {
  const names = [...new Set(shown.flatMap(({ run }) => run.columns.map(({ name }) => name)))];
  const [chosen, setChosen] = useSetting<string | null>('correlated', null);
  const column =
    chosen !== null && names.includes(chosen) ? chosen : (names.find((name) => name.includes('acc')) ?? names[0]);
  if (column === undefined)
    return <p class="empty">These runs have no completions.jsonl; --log_completions true writes it.</p>;
  return (
    <section>
      <div class="toolbar">
        <label class="slider">
          Correlation with
          <select value={column} onChange={(event) => setChosen(event.currentTarget.value)}>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <span class="hint">Pearson’s r over the completions of each step.</span>
      </div>
      <div class="charts wide">
        {shown
          .filter(({ run }) => run.columns.some(({ name }) => name === column))
          .map(({ run }) => (
            <RunSignals key={run.id} run={run} column={column} isDark={isDark} />
          ))}
      </div>
    </section>
  );
}

// --- internal ---

function RunSignals({ run, column, isDark }: { run: RunSummary; column: string; isDark: boolean }) {
  const version = useVersion([run.id]);
  const { data } = useJson<{ curves: CorrelationCurve[] }>(
    `/api/runs/${run.id}/correlations?column=${encodeURIComponent(column)}`,
    version,
  );
  const lines = useMemo(
    () =>
      (data?.curves ?? [])
        .filter(({ values }) => values.some((value) => value !== null))
        .map(({ column: label, steps, values }, i): Line => ({ label, colour: runColour(i, isDark), steps, values })),
    [data, isDark],
  );
  if (data !== null && lines.length === 0)
    return <p class="card quiet-text">{run.name}: in no step do three completions have values that differ.</p>;
  return <Chart title={`${run.name}: correlation with ${column}`} lines={lines} isDark={isDark} range={RANGE} />;
}

const RANGE = [-1, 1] as const;
