/**
 * Runs over one another: which ones, and one of four views of them.
 */
import { useMemo, useState } from 'preact/hooks';
import type { RunSummary } from '../src/ui/api.ts';
import { ArgumentsTable } from './arguments_table.tsx';
import { CurvesPanel } from './curves_panel.tsx';
import { EndsPanel } from './ends_panel.tsx';
import { ago, count, number } from './format.ts';
import { addressOf } from './place.ts';
import { runColour, useSetting } from './settings.ts';
import { SignalsPanel } from './signals_panel.tsx';
import { VerdictsStrip } from './verdicts_strip.tsx';

export interface ShownRun {
  readonly run: RunSummary;
  readonly colour: string;
}

const TABS = ['Curves', 'Arguments', 'Checkpoints and time', 'Signals'] as const;

export function RunsView({ runs, isDark }: { runs: readonly RunSummary[]; isDark: boolean }) {
  const [hidden, setHidden] = useSetting<readonly string[]>('hidden', []);
  const [tab, setTab] = useState<(typeof TABS)[number]>('Curves');
  const [filter, setFilter] = useState('');
  const all = useMemo(() => runs.map((run, i) => ({ run, colour: runColour(i, isDark) })), [runs, isDark]);
  const shown = useMemo(() => all.filter(({ run }) => !hidden.includes(run.id)), [all, hidden]);
  const listed = all.filter(({ run }) => run.name.toLowerCase().includes(filter.toLowerCase()));
  const toggle = (id: string): void =>
    setHidden(hidden.includes(id) ? hidden.filter((each) => each !== id) : [...hidden, id]);

  if (runs.length === 0)
    return <p class="empty">No runs yet. A run appears here as soon as it writes its first log.</p>;
  return (
    <div class="with-rail">
      <nav class="rail" aria-label="Runs">
        {runs.length > 6 && (
          <input
            type="search"
            placeholder="Find a run"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
        )}
        <ul class="runs">
          {listed.map(({ run, colour }) => (
            <li key={run.id} class={hidden.includes(run.id) ? 'off' : ''}>
              <label>
                <input type="checkbox" checked={!hidden.includes(run.id)} onChange={() => toggle(run.id)} />
                <i class="swatch" style={{ background: colour }} />
                <span class="run-name" title={run.name}>
                  {run.name}
                </span>
              </label>
              <div class="run-facts">
                <span class={`state ${run.state}`}>{run.state}</span>
                <span>
                  {run.step === null ? 'no steps yet' : `${count(run.step)} / ${count(run.maxSteps ?? run.step)}`}
                </span>
                <span>{run.state === 'live' ? ago(run.changedAt) : run.kind}</span>
              </div>
              {run.read.done < run.read.total && (
                <progress value={run.read.done} max={run.read.total} aria-label="Reading" />
              )}
              {run.completions > 0 && (
                <a class="run-link" href={addressOf({ view: 'completions', run: run.id, id: null })}>
                  {count(run.completions)} {run.completions === 1 ? 'completion' : 'completions'}
                </a>
              )}
              {run.faults.length > 0 && (
                <details class="faults">
                  <summary>{number(run.faults.length)} unreadable lines</summary>
                  {run.faults.map((fault) => (
                    <p key={fault}>{fault}</p>
                  ))}
                </details>
              )}
            </li>
          ))}
        </ul>
      </nav>
      <main>
        <VerdictsStrip shown={shown} />
        <div class="tabs" role="tablist">
          {TABS.map((name) => (
            <button type="button" key={name} role="tab" aria-selected={tab === name} onClick={() => setTab(name)}>
              {name}
            </button>
          ))}
        </div>
        {shown.length === 0 && <p class="empty">Tick a run on the left.</p>}
        {tab === 'Curves' && <CurvesPanel shown={shown} isDark={isDark} />}
        {tab === 'Arguments' && <ArgumentsTable shown={shown} />}
        {tab === 'Checkpoints and time' && <EndsPanel shown={shown} isDark={isDark} />}
        {tab === 'Signals' && <SignalsPanel shown={shown} isDark={isDark} />}
      </main>
    </div>
  );
}
