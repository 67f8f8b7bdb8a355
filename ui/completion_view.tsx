/**
 * One completion: its tokens, what they attended to, and the same prompt at other steps.
 */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { attentionMap } from '../src/attention_log/values.ts';
import type { AttentionHead, Group, RunSummary } from '../src/ui/api.ts';
import { VIRIDIS_GRADIENT } from '../src/util/viridis.ts';
import { type AttentionValues, IMAGE_ATTENTION, loadAttention } from './attention_values.ts';
import { useJson, useVersion } from './data.ts';
import { number } from './format.ts';
import { Advantage, Faults, Picture, Values } from './group_panel.tsx';
import { Heatmap } from './heatmap.tsx';
import { addressOf, go } from './place.ts';
import { useSetting } from './settings.ts';
import { TokenStrip } from './token_strip.tsx';

export function CompletionView({ run, row }: { run: RunSummary; row: number }) {
  const version = useVersion([run.id]);
  const place = useJson<{ group: number }>(`/api/runs/${run.id}/completions/${row}`, version);
  const { data: group, error } = useJson<Group>(
    place.data === null ? null : `/api/runs/${run.id}/groups/${place.data.group}`,
    version,
  );
  const completion = group?.completions.find(({ id }) => id === row);
  const { values, failure } = useAttention(run.id, row, completion?.hasAttention === true);
  const [token, setToken] = useState<number | null>(null);
  const [layer, setLayer] = useState<number | null>(null);
  const [channel, setChannel] = useSetting('channel', IMAGE_ATTENTION);
  const [opacity, setOpacity] = useSetting('opacity', 0.6);

  useEffect(() => setToken(null), [row]);

  const back = (): void => {
    if (group !== null) go({ view: 'completions', run: run.id, id: group.id });
  };
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') !== null) return;
      if ((event.target as HTMLElement).matches('input, select')) return;
      const count = values?.head.tokens.length ?? 0;
      if (event.key === 'Escape') back();
      else if (event.key === 'ArrowRight' && count > 0)
        setToken((old) => (old === null ? 0 : Math.min(count - 1, old + 1)));
      else if (event.key === 'ArrowLeft' && count > 0)
        setToken((old) => (old === null ? count - 1 : Math.max(0, old - 1)));
      else if (event.key === 'a') setToken(null);
      else if ((event.key === 'j' || event.key === 'k') && group !== null) {
        const at = group.completions.findIndex(({ id }) => id === row) + (event.key === 'j' ? 1 : -1);
        const next = group.completions[at];
        if (next !== undefined) go({ view: 'completion', run: run.id, id: next.id }, 'replace');
      } else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });

  const map = useMemo(() => (values === null ? null : attentionMap(values, token, layer)), [values, token, layer]);
  if (error !== null || place.error !== null) return <p class="error panel">{error ?? place.error}</p>;
  if (group === null || completion === undefined) return <main />;

  const advantage = completion.values[run.columns.findIndex(({ kind }) => kind === 'advantage')] ?? null;
  const range = map === null || map.length === 0 ? ([0, 0] as const) : ([Math.min(...map), Math.max(...map)] as const);
  return (
    <main class="one">
      <div class="panel-head">
        <a href={addressOf({ view: 'completions', run: run.id, id: group.id })} title="Back to the group (Esc)">
          ‹ group {group.id + 1}
        </a>
        <h2>Completion {completion.id + 1}</h2>
        <Faults completion={completion} />
        <Advantage value={advantage} />
      </div>
      <HistorySlider run={run} group={group} place={group.completions.indexOf(completion)} />
      <div class="one-columns">
        <section class="seen" aria-label="Images">
          {values === null || map === null
            ? group.images.map((image, i) => <Picture key={i} image={image} />)
            : values.head.grids.map(([rows, columns], i) => {
                const from = values.head.grids.slice(0, i).reduce((sum, [r, c]) => sum + r * c, 0);
                const image = group.images[i] ?? { name: '', reason: 'The log does not name this image.' };
                return (
                  <Heatmap
                    key={i}
                    image={image}
                    rows={rows}
                    columns={columns}
                    values={map.subarray(from, from + rows * columns)}
                    range={range}
                    opacity={opacity}
                  />
                );
              })}
          {values !== null && (
            <div class="controls">
              <div class="scale">
                <span>{number(range[0])}</span>
                <i style={{ background: VIRIDIS_GRADIENT }} />
                <span>{number(range[1])}</span>
              </div>
              <label class="slider">
                Opacity
                <input
                  type="range"
                  min="0"
                  max="1"
                  step="0.05"
                  value={opacity}
                  onInput={(event) => setOpacity(Number(event.currentTarget.value))}
                />
                <output>{opacity.toFixed(2)}</output>
              </label>
              <label class="slider">
                Layer
                <select
                  value={layer ?? 'mean'}
                  onChange={(event) =>
                    setLayer(event.currentTarget.value === 'mean' ? null : Number(event.currentTarget.value))
                  }
                >
                  <option value="mean">mean of {values.head.layers.length}</option>
                  {values.head.layers.map((name, i) => (
                    <option key={name} value={i}>
                      {name}
                    </option>
                  ))}
                </select>
              </label>
              <button type="button" onClick={() => setToken(null)} disabled={token === null} title="Whole answer (a)">
                {token === null
                  ? 'whole answer'
                  : `token ${token + 1} of ${values.head.tokens.length}: show the whole answer`}
              </button>
            </div>
          )}
          {values === null && (
            <p class="quiet-text">
              {failure ??
                (completion.hasAttention
                  ? 'Loading the attention…'
                  : 'No per-token attention was logged for this completion.')}
            </p>
          )}
        </section>
        <section class="said" aria-label="Completion">
          <p class="question">{group.question}</p>
          {values === null ? (
            <p class="text">{completion.text}</p>
          ) : (
            <TokenStrip
              values={values}
              channel={channel}
              onChannel={setChannel}
              chosen={token}
              onChoose={setToken}
              name={`tokens-of-completion-${completion.id + 1}`}
            />
          )}
          {group.solution !== null && (
            <dl class="facts">
              <dt>target</dt>
              <dd>{group.solution}</dd>
            </dl>
          )}
          <Values run={run} completion={completion} />
        </section>
      </div>
    </main>
  );
}

// --- internal ---

function useAttention(
  run: string,
  row: number,
  isLogged: boolean,
): { values: AttentionValues | null; failure: string | null } {
  const { data: head, error } = useJson<AttentionHead>(
    isLogged ? `/api/runs/${run}/completions/${row}/attention` : null,
  );
  const [state, setState] = useState<{ values: AttentionValues | null; failure: string | null }>({
    values: null,
    failure: null,
  });
  useEffect(() => {
    setState({ values: null, failure: null });
    if (head === null || !isLogged) return;
    const controller = new AbortController();
    loadAttention(head, controller.signal).then(
      (values) => setState({ values, failure: null }),
      (failure: Error) => {
        if (!controller.signal.aborted) setState({ values: null, failure: failure.message });
      },
    );
    return () => controller.abort();
  }, [head, isLogged]);
  return { values: isLogged ? state.values : null, failure: error ?? state.failure };
}

/** The same prompt at the steps at which it was sampled. */
function HistorySlider({ run, group, place }: { run: RunSummary; group: Group; place: number }) {
  const at = group.history.findIndex(({ id }) => id === group.id);
  if (group.history.length < 2) return null;
  function move(to: number): void {
    const other = group.history[to];
    if (other === undefined) return;
    fetch(`/api/runs/${run.id}/groups/${other.id}`)
      .then((response) => response.json() as Promise<Group>)
      .then(
        ({ completions }) => {
          const same = completions[Math.min(place, completions.length - 1)];
          if (same !== undefined) go({ view: 'completion', run: run.id, id: same.id }, 'replace');
        },
        () => undefined, // the group has gone; the page stays where it is
      );
  }
  return (
    <label class="slider history">
      The same prompt at step
      <input
        type="range"
        min="0"
        max={group.history.length - 1}
        value={at}
        onChange={(event) => move(Number(event.currentTarget.value))}
      />
      <output>
        {group.step} ({at + 1} of {group.history.length})
      </output>
    </label>
  );
}
