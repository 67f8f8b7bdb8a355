/**
 * All groups or completions of a run in a list, and the chosen group beside it.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ListedRow, RunSummary } from '../src/ui/api.ts';
import { useVersion } from './data.ts';
import { count, decimal } from './format.ts';
import { GroupPanel } from './group_panel.tsx';
import { usePages } from './pages.ts';
import { go } from './place.ts';
import { useSetting } from './settings.ts';
import { useVirtualRows } from './virtual.ts';

const ROW_HEIGHT = 34;
const FILTERS = [
  ['all', 'all'],
  ['mixed', 'different rewards'],
  ['flat', 'equal rewards'],
  ['clipped', 'clipped'],
  ['unjudged', 'null reward'],
] as const;

export function CompletionsView({ run, group }: { run: RunSummary; group: number | null }) {
  const [unit, setUnit] = useSetting<'group' | 'completion'>('unit', 'group');
  const [sort, setSort] = useState({ name: 'step', descending: false });
  const [filter, setFilter] = useState<(typeof FILTERS)[number][0]>('all');
  const [typed, setTyped] = useState('');
  const [search, setSearch] = useState('');
  const [steps, setSteps] = useState({ from: '', to: '' });
  const [at, setAt] = useState(0);
  const [picked, setPicked] = useState<number | null>(null);
  const [focusAsked, setFocusAsked] = useState(0);
  const [row, setRow] = useState<number | null>(null);
  const frame = useRef<HTMLDivElement>(null);
  /** Whether the list is still the one that the page began with, whose group the address may name. */
  const isFirst = useRef(true);
  const version = useVersion([run.id]);

  useEffect(() => {
    const timer = setTimeout(() => setSearch(typed), 300);
    return () => clearTimeout(timer);
  }, [typed]);

  const url = useMemo(() => {
    const query = new URLSearchParams({ unit, sort: sort.name, descending: String(sort.descending), filter, search });
    if (/^\d+$/.test(steps.from)) query.set('fromStep', steps.from);
    if (/^\d+$/.test(steps.to)) query.set('toStep', steps.to);
    return `/api/runs/${run.id}/list?${query}`;
  }, [run.id, unit, sort, filter, search, steps]);
  const [total, setTotal] = useState(0);
  const { items, height, scrollTo } = useVirtualRows(frame, total, ROW_HEIGHT);
  const pages = usePages(url, version, items[0]?.index ?? 0, items.at(-1)?.index ?? 0);
  if (pages.total !== null && pages.total !== total) setTotal(pages.total);

  useEffect(() => {
    frame.current!.scrollTop = 0;
    setAt(0);
    if (isFirst.current) isFirst.current = false;
    else setPicked(0);
  }, [url]);

  // The first row is open until one is chosen.
  const firstRow = pages.row(0);
  useEffect(() => {
    if (group === null && firstRow !== undefined)
      go({ view: 'completions', run: run.id, id: firstRow.group }, 'replace');
  }, [group, firstRow, run.id]);

  // A row that was picked is opened as soon as its page is there.
  const pickedRow = picked === null ? undefined : pages.row(picked);
  useEffect(() => {
    if (pickedRow === undefined) return;
    setPicked(null);
    setRow(unit === 'completion' ? pickedRow.id : null);
    go({ view: 'completions', run: run.id, id: pickedRow.group }, 'replace');
  }, [pickedRow, unit, run.id]);

  function choose(index: number): void {
    const clamped = Math.max(0, Math.min(total - 1, index));
    setAt(clamped);
    setPicked(clamped);
    scrollTo(clamped);
  }

  function onKeyDown(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor((frame.current?.clientHeight ?? 0) / ROW_HEIGHT) - 1);
    const moves: Record<string, number> = {
      j: at + 1,
      k: at - 1,
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: total - 1,
    };
    if (event.key in moves) choose(moves[event.key]!);
    else if (event.key === 'Enter') setFocusAsked(focusAsked + 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  const shown = run.columns
    .map((column, i) => ({ ...column, i }))
    .filter(
      ({ kind, name }) => kind === 'reward' || name === sort.name || (kind === 'advantage' && unit === 'completion'),
    )
    .slice(0, 4);
  const template = `52px minmax(150px, 1fr) ${shown.map(() => '78px').join(' ')} 56px`;
  const header = (name: string, label: string, kind = '') => (
    <button
      type="button"
      class={`quiet ${kind}`}
      title={name}
      aria-label={`Sort by ${label}`}
      onClick={() => setSort({ name, descending: sort.name === name ? !sort.descending : name !== 'step' })}
    >
      <span>{label}</span>
      {sort.name === name && (sort.descending ? ' ↓' : ' ↑')}
    </button>
  );

  return (
    <div class="browse">
      <section class="list" aria-label="List">
        <div class="toolbar">
          <input
            type="search"
            data-search
            placeholder="Search prompts and completions"
            aria-label="Search prompts and completions"
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
          <span class="break" />
          <select
            aria-label="What to list"
            value={unit}
            onChange={(event) => setUnit(event.currentTarget.value as typeof unit)}
          >
            <option value="group">groups</option>
            <option value="completion">completions</option>
          </select>
          <select
            aria-label="Filter"
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value as typeof filter)}
          >
            {FILTERS.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
          <select
            aria-label="Sort by"
            value={sort.name}
            onChange={(event) =>
              setSort({ name: event.currentTarget.value, descending: event.currentTarget.value !== 'step' })
            }
          >
            {['step', ...run.columns.map(({ name }) => name)].map((name) => (
              <option key={name} value={name}>
                by {name}
              </option>
            ))}
          </select>
          <span class="steps">
            steps
            <input
              inputMode="numeric"
              aria-label="First step"
              placeholder="1"
              value={steps.from}
              onInput={(event) => setSteps({ ...steps, from: event.currentTarget.value })}
            />
            –
            <input
              inputMode="numeric"
              aria-label="Last step"
              placeholder={String(run.step ?? '')}
              value={steps.to}
              onInput={(event) => setSteps({ ...steps, to: event.currentTarget.value })}
            />
          </span>
        </div>
        <div class="list-head" style={{ gridTemplateColumns: template }}>
          {header('step', 'step', 'right')}
          <span class="label">{unit === 'group' ? 'question' : 'answer'}</span>
          {shown.map(({ name }) => header(name, name, 'right'))}
          <span />
        </div>
        <div
          class="rows"
          ref={frame}
          role="listbox"
          tabIndex={0}
          aria-label={unit === 'group' ? 'Groups' : 'Completions'}
          onKeyDown={onKeyDown}
        >
          <div style={{ height: `${height}px`, position: 'relative' }}>
            {items.map(({ index, start }) => {
              const listed = pages.row(index);
              const isChosen =
                listed !== undefined && (unit === 'group' || row === null ? listed.group === group : listed.id === row);
              return (
                // biome-ignore lint/a11y/useKeyWithClickEvents: the list handles keys
                <div
                  key={index}
                  role="option"
                  tabIndex={-1}
                  aria-selected={isChosen}
                  class={`row ${isChosen ? 'chosen' : ''}`}
                  style={{ transform: `translateY(${start}px)`, gridTemplateColumns: template }}
                  onClick={() => choose(index)}
                >
                  {listed !== undefined && (
                    <>
                      <span class="num">{listed.step}</span>
                      <span class="excerpt">{unit === 'group' ? listed.prompt : listed.answer}</span>
                      {shown.map(({ name, i }) => (
                        <span key={name} class="num">
                          {decimal(listed.values[i])}
                        </span>
                      ))}
                      <MarkList row={listed} />
                    </>
                  )}
                </div>
              );
            })}
          </div>
          {pages.total === 0 && <p class="empty">Nothing matches.</p>}
        </div>
        <p class="list-foot" role="status">
          {pages.error ?? (pages.total === null ? 'Searching…' : `${count(total)} of ${count(pages.all)} ${unit}s`)}
        </p>
      </section>
      {group !== null && (
        <GroupPanel run={run} group={group} highlighted={row} search={search} focusAsked={focusAsked} />
      )}
    </div>
  );
}

// --- internal ---

function MarkList({ row }: { row: ListedRow }) {
  const { clipped, unjudged, flat } = row.marks;
  return (
    <span class="marks">
      {clipped > 0 && (
        <i class="mark-clipped" title={`${clipped} cut off by the length limit`}>
          ✂{row.size > 1 ? clipped : ''}
        </i>
      )}
      {unjudged > 0 && (
        <i class="mark-null" title={`${unjudged} without a reward`}>
          ∅{row.size > 1 ? unjudged : ''}
        </i>
      )}
      {flat > 0 && (
        <i class="mark-flat" title="All rewards of the group are the same: it teaches nothing">
          =
        </i>
      )}
    </span>
  );
}
