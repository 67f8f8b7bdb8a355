/**
 * The arguments of runs side by side, the different ones first.
 */
import { useEffect, useState } from 'preact/hooks';
import { getJson } from './data.ts';
import type { ShownRun } from './runs_view.tsx';

type Args = Readonly<Record<string, unknown>>;

export function ArgumentsTable({ shown }: { shown: readonly ShownRun[] }) {
  const [args, setArgs] = useState<ReadonlyMap<string, Args | null>>(new Map());
  const [onlyDifferent, setOnlyDifferent] = useState(true);
  const [filter, setFilter] = useState('');
  const key = shown.map(({ run }) => run.id).join(' ');
  useEffect(() => {
    const controller = new AbortController();
    const ids = key === '' ? [] : key.split(' ');
    Promise.all(
      ids.map(
        async (id) =>
          [id, (await getJson<{ args: Args | null }>(`/api/runs/${id}/args`, controller.signal)).args] as const,
      ),
    ).then(
      (all) => setArgs(new Map(all)),
      () => undefined, // the page has moved on
    );
    return () => controller.abort();
  }, [key]);

  const columns = shown.map(({ run, colour }) => ({ run, colour, args: args.get(run.id) ?? null }));
  const names = [...new Set(columns.flatMap((column) => Object.keys(column.args ?? {})))].filter(
    (name) => name !== '_sightline',
  );
  const rows = names
    .map((name) => {
      const cells = columns.map((column) => (column.args === null ? null : cellText(column.args[name])));
      return { name, cells, differs: new Set(cells.filter((cell) => cell !== null)).size > 1 };
    })
    .filter(({ name, differs }) => (!onlyDifferent || differs || columns.length < 2) && name.includes(filter));
  return (
    <section>
      <div class="toolbar">
        <input
          type="search"
          data-search
          placeholder="Find an argument"
          aria-label="Find an argument"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        {columns.length > 1 && (
          <label class="check">
            <input type="checkbox" checked={onlyDifferent} onChange={() => setOnlyDifferent(!onlyDifferent)} />
            Only different ones
          </label>
        )}
      </div>
      <div class="scroll-x">
        <table class="plain">
          <thead>
            <tr>
              <th>argument</th>
              {columns.map(({ run, colour }) => (
                <th key={run.id}>
                  <i class="swatch" style={{ background: colour }} />
                  {run.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ name, cells, differs }) => (
              <tr key={name} class={differs && !onlyDifferent ? 'differs' : ''}>
                <th scope="row">{name}</th>
                {cells.map((cell, i) => (
                  <td key={columns[i]!.run.id}>{cell ?? 'no args.json'}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length === 0 && args.size > 0 && (
        <p class="empty">{columns.length > 1 ? 'The arguments are the same.' : 'No argument has this name.'}</p>
      )}
    </section>
  );
}

function cellText(value: unknown): string {
  if (value === undefined) return '–';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
