/**
 * The charts of all metrics of the chosen runs, the main ones first. Only charts near the screen are loaded.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { mainMetrics, metricOf } from '../src/metrics/table.ts';
import type { Curve } from '../src/ui/api.ts';
import { Chart, type Line } from './chart.tsx';
import { useJson, useVersion } from './data.ts';
import { saveReport } from './report.ts';
import type { ShownRun } from './runs_view.tsx';
import { useSetting } from './settings.ts';

export function CurvesPanel({ shown, isDark }: { shown: readonly ShownRun[]; isDark: boolean }) {
  const [weight, setWeight] = useSetting('smoothing', 0.6);
  const [filter, setFilter] = useState('');
  const [failure, setFailure] = useState<string | null>(null);
  const sections = useMemo(() => sectionsOf(shown, filter), [shown, filter]);
  return (
    <section>
      <div class="toolbar">
        <input
          type="search"
          data-search
          placeholder="Find a metric"
          aria-label="Find a metric"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        <label class="slider">
          Smoothing
          <input
            type="range"
            min="0"
            max="0.99"
            step="0.01"
            value={weight}
            onInput={(event) => setWeight(Number(event.currentTarget.value))}
          />
          <output>{weight.toFixed(2)}</output>
        </label>
        <button
          type="button"
          onClick={() => saveReport(shown).catch((error: Error) => setFailure(error.message))}
          title="Facts, arguments and the charts that are drawn, in one file"
        >
          Save report
        </button>
        <span class="hint">Drag across a chart to zoom, double-click to see all.</span>
      </div>
      {failure !== null && <p class="error">The report could not be saved: {failure}</p>}
      {sections.map(({ name, metrics }) => (
        <details class="section" key={name} open={name === 'Main' || filter !== ''}>
          <summary>
            {name} <span class="quiet-text">{metrics.length}</span>
          </summary>
          <div class="charts">
            {metrics.map((metric) => (
              <MetricChart key={metric} metric={metric} shown={shown} weight={weight} isDark={isDark} />
            ))}
          </div>
        </details>
      ))}
      {sections.length === 0 && shown.length > 0 && <p class="empty">No metric has this name.</p>}
    </section>
  );
}

// --- internal ---

function MetricChart({
  metric,
  shown,
  weight,
  isDark,
}: {
  metric: string;
  shown: readonly ShownRun[];
  weight: number;
  isDark: boolean;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const isNear = useNear(frame);
  const ids = shown.filter(({ run }) => run.metrics.includes(metric)).map(({ run }) => run.id);
  const version = useVersion(ids);
  const query = new URLSearchParams([...ids.map((id) => ['run', id]), ['metric', metric]]).toString();
  const { data, error } = useJson<{ curves: Curve[] }>(
    isNear ? `/api/curves?${query}&weight=${weight}` : null,
    version,
  );
  const lines = useMemo(
    () =>
      shown.flatMap(({ run, colour }): Line[] => {
        const curve = data?.curves.find((each) => each.run === run.id && each.metric === metric);
        if (curve === undefined) return [];
        const { steps, values, smooth } = curve;
        return [{ label: run.name, colour, steps, values, ...(weight > 0 && { smooth }) }];
      }),
    [data, shown, metric, weight > 0],
  );
  return (
    <div ref={frame} class="chart-place">
      {error !== null && <p class="error">{error}</p>}
      {data !== null && (
        <Chart
          title={metric}
          about={metricOf(metric) ?? undefined}
          lines={lines}
          isDark={isDark}
          csv={`/api/curves.csv?${query}`}
          sync="steps"
        />
      )}
    </div>
  );
}

/** Whether the element has come near the screen. */
function useNear(element: { readonly current: HTMLElement | null }): boolean {
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver(
      (entries) => setNear((old) => old || entries.some((entry) => entry.isIntersecting)),
      {
        rootMargin: '300px',
      },
    );
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, [element]);
  return isNear;
}

function sectionsOf(shown: readonly ShownRun[], filter: string): { name: string; metrics: string[] }[] {
  const all = [...new Set(shown.flatMap(({ run }) => run.metrics))].filter((name) =>
    `${name} ${metricOf(name)?.meaning ?? ''}`.toLowerCase().includes(filter.toLowerCase()),
  );
  const main = mainMetrics(all);
  const sections = new Map<string, string[]>();
  if (main.length > 0) sections.set('Main', main);
  for (const name of all.filter((each) => !main.includes(each)).sort()) {
    const section = name.startsWith('eval_')
      ? 'Evaluation'
      : name.includes('/')
        ? name.slice(0, name.indexOf('/'))
        : 'Other';
    sections.set(section, [...(sections.get(section) ?? []), name]);
  }
  return [...sections].map(([name, metrics]) => ({ name, metrics }));
}
