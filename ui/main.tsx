/**
 * The page: its head, the view that the address names, and the keys that work everywhere.
 */
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import 'uplot/dist/uPlot.min.css';
import './style.css';
import type { RunSummary } from '../src/ui/api.ts';
import { CompletionView } from './completion_view.tsx';
import { CompletionsView } from './completions_view.tsx';
import { connect, useConnection, useJson, useVersion } from './data.ts';
import { KeysHelp } from './keys_help.tsx';
import { addressOf, go, usePlace } from './place.ts';
import { RunsView } from './runs_view.tsx';
import { type Theme, useDark, useSetting } from './settings.ts';

const THEMES: readonly Theme[] = ['system', 'light', 'dark'];

function Page() {
  const place = usePlace();
  const version = useVersion(null);
  const { data, error } = useJson<{ runs: RunSummary[] }>('/api/runs', version);
  const [theme, setTheme] = useSetting<Theme>('theme', 'system');
  const [isHelpOpen, setHelpOpen] = useState(false);
  const isDark = useDark(theme);
  const isOpen = useConnection();
  const runs = data?.runs ?? [];
  const withTexts = runs.filter(({ completions }) => completions > 0);
  const current = runs.find(({ id }) => id === place.run);
  // Read when the key is pressed: the handler of the last drawing may still be the one that is called.
  const themeNow = useRef(theme);
  themeNow.current = theme;
  const nextTheme = (): void => {
    themeNow.current = THEMES[(THEMES.indexOf(themeNow.current) + 1) % THEMES.length]!;
    setTheme(themeNow.current);
  };
  const openCompletions = (): void => {
    const run = current ?? withTexts.at(-1);
    if (run !== undefined) go({ view: 'completions', run: run.id, id: null });
  };

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      if (event.key === 'Escape' && target.matches('input, select')) target.blur();
      if (target.matches('input:not([type=checkbox]):not([type=range]), select, textarea')) return;
      if (event.key === '1') go({ view: 'runs', run: null, id: null });
      else if (event.key === '2') openCompletions();
      else if (event.key === 't') nextTheme();
      else if (event.key === '?') setHelpOpen((old) => !old);
      else if (event.key === '/') document.querySelector<HTMLInputElement>('[data-search]')?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });

  return (
    <>
      <header class="head">
        <a class="mark" href="#/">
          <svg viewBox="0 0 32 32" width="18" height="18" aria-hidden="true">
            <circle cx="16" cy="16" r="12" fill="none" stroke="currentColor" stroke-width="3" />
            <circle cx="16" cy="16" r="4" fill="currentColor" />
          </svg>
          sightline
        </a>
        <nav class="views" aria-label="Views">
          <a href="#/" aria-current={place.view === 'runs' ? 'page' : undefined}>
            Runs
          </a>
          {withTexts.length > 0 && (
            <a
              href={addressOf({ view: 'completions', run: (current ?? withTexts.at(-1))!.id, id: null })}
              aria-current={place.view !== 'runs' ? 'page' : undefined}
            >
              Completions
            </a>
          )}
        </nav>
        {current !== undefined && (
          <select
            aria-label="Run"
            value={current.id}
            onChange={(event) => go({ view: 'completions', run: event.currentTarget.value, id: null })}
          >
            {withTexts.map((run) => (
              <option key={run.id} value={run.id}>
                {run.name}
              </option>
            ))}
          </select>
        )}
        <span class="spacer" />
        <span class={`live ${isOpen === null ? 'waiting' : isOpen ? 'on' : 'off'}`} role="status">
          {isOpen === null ? 'connecting' : isOpen ? 'live' : 'not connected'}
        </span>
        <button type="button" class="quiet" onClick={nextTheme} title="Colours (t)">
          {theme}
        </button>
        <button type="button" class="quiet" onClick={() => setHelpOpen(true)} title="Keys (?)">
          ?
        </button>
      </header>
      {error !== null && <p class="error banner">{error}</p>}
      {data !== null && place.view === 'runs' && <RunsView runs={runs} isDark={isDark} />}
      {current !== undefined && place.view === 'completions' && (
        <CompletionsView key={current.id} run={current} group={place.id} />
      )}
      {current !== undefined && place.view === 'completion' && place.id !== null && (
        <CompletionView run={current} row={place.id} />
      )}
      {data !== null && place.view !== 'runs' && current === undefined && <p class="empty">There is no such run.</p>}
      {isHelpOpen && <KeysHelp onClose={() => setHelpOpen(false)} />}
    </>
  );
}

connect();
render(<Page />, document.getElementById('page')!);
