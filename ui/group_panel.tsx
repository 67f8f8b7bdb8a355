/**
 * One group: the prompt with its images, and its completions side by side.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Completion, Group, ImagePlace, RunSummary } from '../src/ui/api.ts';
import { useJson, useVersion } from './data.ts';
import { decimal, signed } from './format.ts';
import { Marked } from './marked.tsx';
import { go } from './place.ts';
import { useSetting } from './settings.ts';

export interface GroupPanelProps {
  readonly run: RunSummary;
  readonly group: number;
  /** A completion that was chosen in the list. */
  readonly highlighted: number | null;
  readonly search: string;
  /** Grows each time that the keyboard asks for the first completion. */
  readonly focusAsked: number;
}

export function GroupPanel({ run, group, highlighted, search, focusAsked }: GroupPanelProps) {
  const version = useVersion([run.id]);
  const { data, error } = useJson<Group>(`/api/runs/${run.id}/groups/${group}`, version);
  const [order, setOrder] = useSetting<string>('order', 'as logged');
  const [isRaw, setRaw] = useState(false);
  const focusGiven = useRef(0);
  // Only once the group itself is there: until then the last one is still shown.
  useEffect(() => {
    if (focusAsked === focusGiven.current || data?.id !== group) return;
    focusGiven.current = focusAsked;
    document.querySelector<HTMLElement>('.completion .open')?.focus();
  }, [focusAsked, data, group]);
  const step = (by: number): void => {
    if (data !== null)
      go({ view: 'completions', run: run.id, id: Math.max(0, Math.min(data.total - 1, group + by)) }, 'replace');
  };

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if ((event.target as HTMLElement).matches('input, select') || event.ctrlKey || event.metaKey) return;
      if (event.key === '[') step(-1);
      else if (event.key === ']') step(1);
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });

  if (error !== null) return <p class="error panel">{error}</p>;
  if (data === null) return <section class="panel" />;
  const names = run.columns.map(({ name }) => name);
  const at = names.indexOf(order);
  const sorted =
    at < 0
      ? data.completions
      : [...data.completions].sort((a, b) => (b.values[at] ?? -Infinity) - (a.values[at] ?? -Infinity));

  return (
    <section class="panel" aria-label="Group">
      <div class="panel-head">
        <h2>
          Step {data.step}{' '}
          <span class="quiet-text">
            group {data.id + 1} of {data.total}
          </span>
        </h2>
        <span class="spacer" />
        <label class="slider">
          Order
          <select value={at < 0 ? 'as logged' : order} onChange={(event) => setOrder(event.currentTarget.value)}>
            <option>as logged</option>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => step(-1)} title="Previous group ([)" aria-label="Previous group">
          ‹
        </button>
        <button type="button" onClick={() => step(1)} title="Next group (])" aria-label="Next group">
          ›
        </button>
      </div>
      <div class="prompt">
        {data.images.length > 0 && (
          <div class="images">
            {data.images.map((image, i) => (
              <Picture key={i} image={image} />
            ))}
          </div>
        )}
        <div class="prompt-text">
          <p class="question">
            <Marked text={isRaw ? data.prompt : data.question} words={search} />
          </p>
          <dl class="facts">
            {data.solution !== null && (
              <>
                <dt>target</dt>
                <dd>{data.solution}</dd>
              </>
            )}
            {data.source !== null && (
              <>
                <dt>row</dt>
                <dd class="path">{data.source}</dd>
              </>
            )}
          </dl>
          <button type="button" class="quiet" onClick={() => setRaw(!isRaw)}>
            {isRaw ? 'question only' : 'whole prompt'}
          </button>
        </div>
      </div>
      <div class="cards">
        {sorted.map((completion) => (
          <CompletionCard
            key={completion.id}
            run={run}
            completion={completion}
            isChosen={completion.id === highlighted}
            search={search}
          />
        ))}
      </div>
    </section>
  );
}

export function Picture({ image }: { image: ImagePlace }) {
  const [failure, setFailure] = useState<string | null>(null);
  const reason = 'reason' in image ? image.reason : failure;
  if (reason !== null) return <p class="no-image">{reason}</p>;
  const { url, name } = image as { url: string; name: string };
  const explain = (): void => {
    fetch(url).then(
      async (response) => setFailure((await response.text()).trim()),
      (error: Error) => setFailure(error.message),
    );
  };
  return <img src={url} alt={name} title={name} onError={explain} />;
}

// --- internal ---

function CompletionCard({
  run,
  completion,
  isChosen,
  search,
}: {
  run: RunSummary;
  completion: Completion;
  isChosen: boolean;
  search: string;
}) {
  const open = (): void => go({ view: 'completion', run: run.id, id: completion.id });
  const advantage = completion.values[run.columns.findIndex(({ kind }) => kind === 'advantage')] ?? null;

  function onKeyDown(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
    const card = event.currentTarget.closest('.completion')!;
    const other = event.key === 'j' ? card.nextElementSibling : event.key === 'k' ? card.previousElementSibling : null;
    if (other === null) return;
    other.querySelector<HTMLElement>('.open')?.focus();
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <article class={`completion ${isChosen ? 'chosen' : ''}`} aria-label={`Completion ${completion.id + 1}`}>
      <header>
        <Advantage value={advantage} />
        <span class="spacer" />
        <button
          type="button"
          class="quiet open"
          onClick={open}
          onKeyDown={onKeyDown}
          title="Open (Enter); j and k go on"
        >
          {completion.hasAttention ? 'attention' : 'open'}
        </button>
      </header>
      <p class="completion-marks">
        <Faults completion={completion} />
      </p>
      <p class="text">
        <Marked text={completion.text} words={search} />
        {completion.text === '' && <span class="quiet-text">(empty)</span>}
      </p>
      <Values run={run} completion={completion} />
    </article>
  );
}

/** What went wrong with a completion, as marks. */
export function Faults({ completion: { clipped, fault } }: { completion: Completion }) {
  return (
    <>
      {clipped === true && <span class="chip mark-clipped">✂ clipped</span>}
      {fault !== null && (
        <span class="chip mark-fault" title="Compared as texts, in any case of letters">
          ≠ {fault}
        </span>
      )}
    </>
  );
}

/** The values of a completion, aligned; null ones are marked. */
export function Values({ run, completion }: { run: RunSummary; completion: Completion }) {
  return (
    <table class="values">
      <tbody>
        {completion.answer !== completion.text && (
          <tr>
            <th scope="row">answer</th>
            <td class="answer">{completion.answer}</td>
          </tr>
        )}
        {run.columns.map(({ name, kind }, i) => {
          const value = completion.values[i] ?? null;
          if (kind === 'advantage' && value !== null) return null; // in the head, with its bar
          return (
            <tr key={name}>
              <th scope="row" title={name}>
                {name}
              </th>
              <td class="num">{value === null ? <span class="mark-null">∅ null</span> : decimal(value)}</td>
            </tr>
          );
        })}
        {Object.entries(completion.more).map(([name, value]) => (
          <tr key={name}>
            <th scope="row" title={name}>
              {name}
            </th>
            <td class="answer">{typeof value === 'string' ? value : JSON.stringify(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The advantage as a number and as a bar from the middle, two standard deviations to each side. */
export function Advantage({ value }: { value: number | null }) {
  const share = value === null ? 0 : Math.min(1, Math.abs(value) / 2) * 50;
  return (
    <span class={`advantage ${value === null || value === 0 ? '' : value > 0 ? 'good' : 'bad'}`} title="advantage">
      <i class="track">
        <i class="fill" style={{ width: `${share}%`, left: value !== null && value < 0 ? `${50 - share}%` : '50%' }} />
      </i>
      {signed(value)}
    </span>
  );
}
