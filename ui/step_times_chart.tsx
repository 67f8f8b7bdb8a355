/**
 * Where the time of each step of a run went: its parts, stacked.
 */
import { useMemo } from 'preact/hooks';
import type { RunSummary, StepTimes } from '../src/ui/api.ts';
import { Chart, type Line } from './chart.tsx';
import { useJson, useVersion } from './data.ts';
import { partColour } from './settings.ts';

export function StepTimesChart({ run, isDark }: { run: RunSummary; isDark: boolean }) {
  const version = useVersion([run.id]);
  const { data, error } = useJson<StepTimes>(`/api/runs/${run.id}/step_times`, version);
  const lines = useMemo(
    () =>
      (data?.parts ?? []).map(
        ({ name, values }, i): Line => ({
          label: name,
          colour: partColour(i, name === 'other', isDark),
          steps: data!.steps,
          values,
        }),
      ),
    [data, isDark],
  );
  if (error !== null) return <p class="error">{error}</p>;
  if (data === null) return null;
  if (lines.length === 0) return <p class="card quiet-text">{run.name}: the log has no seconds of its steps.</p>;
  const query = new URLSearchParams([
    ['run', run.id],
    ...data.parts.map(({ metric }) => ['metric', metric]),
  ]).toString();
  const title = `${run.name}: seconds of a step${data.width > 1 ? `, each bar the mean of ${data.width}` : ''}`;
  return <Chart title={title} lines={lines} isDark={isDark} csv={`/api/curves.csv?${query}`} isStacked />;
}
