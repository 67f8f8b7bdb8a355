/**
 * The address of what is shown, after the #, so that back, reload and bookmarks work.
 */
import { useEffect, useState } from 'preact/hooks';

export interface Place {
  readonly view: 'runs' | 'completions' | 'completion';
  /** The run whose completions are shown. */
  readonly run: string | null;
  /** A group in `completions`, a completion in `completion`. */
  readonly id: number | null;
}

export function addressOf({ view, run, id }: Place): string {
  if (view === 'runs' || run === null) return '#/';
  return `#/${view}/${run}${id === null ? '' : `/${id}`}`;
}

export function go(place: Place, how: 'push' | 'replace' = 'push'): void {
  const address = addressOf(place);
  if (location.hash === address) return;
  if (how === 'push') history.pushState(null, '', address);
  else history.replaceState(null, '', address);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function usePlace(): Place {
  const [place, setPlace] = useState(readPlace);
  useEffect(() => {
    const update = (): void => setPlace(readPlace());
    addEventListener('hashchange', update);
    addEventListener('popstate', update);
    return () => {
      removeEventListener('hashchange', update);
      removeEventListener('popstate', update);
    };
  }, []);
  return place;
}

function readPlace(): Place {
  const match = /^#\/(completions|completion)\/([0-9a-f]+)(?:\/(\d+))?$/.exec(location.hash);
  if (match === null) return { view: 'runs', run: null, id: null };
  return { view: match[1] as Place['view'], run: match[2]!, id: match[3] === undefined ? null : Number(match[3]) };
}
