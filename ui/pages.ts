/**
 * Rows of a long list of the server, loaded page by page as they are looked at.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ListedRow, RowList } from '../src/ui/api.ts';
import { getJson } from './data.ts';

const PAGE = 100;

export interface Pages {
  /** Null until the first page is there. */
  readonly total: number | null;
  readonly all: number;
  readonly error: string | null;
  /** Undefined while its page loads. */
  row(index: number): ListedRow | undefined;
  readonly isLoading: boolean;
}

/**
 * @param url address of the list without offset and limit
 * @param version asks again for the pages on the screen when it changes
 */
export function usePages(url: string, version: number, first: number, last: number): Pages {
  const [state, setState] = useState({ url, total: null as number | null, all: 0, error: null as string | null });
  const pages = useRef(new Map<number, readonly ListedRow[]>());
  const asked = useRef(new Map<number, string>());
  const current = useRef(url);
  const [loading, setLoading] = useState(0);
  if (current.current !== url) {
    current.current = url;
    pages.current = new Map();
    asked.current = new Map();
  }
  const from = Math.floor(first / PAGE);
  const to = Math.floor(last / PAGE);
  useEffect(() => {
    for (let page = from; page <= to; page++) {
      const key = `${url} ${version}`;
      if (asked.current.get(page) === key) continue;
      asked.current.set(page, key);
      setLoading((old) => old + 1);
      getJson<RowList>(`${url}&offset=${page * PAGE}&limit=${PAGE}`)
        .then(
          (list) => {
            if (current.current !== url) return;
            pages.current.set(page, list.rows);
            setState({ url, total: list.total, all: list.all, error: null });
          },
          (error: Error) => {
            if (current.current === url) setState((old) => ({ ...old, url, error: error.message }));
          },
        )
        .finally(() => setLoading((old) => old - 1));
    }
  }, [url, version, from, to]);
  return {
    total: state.url === url ? state.total : null,
    all: state.all,
    error: state.url === url ? state.error : null,
    row: (index) => pages.current.get(Math.floor(index / PAGE))?.[index % PAGE],
    isLoading: loading > 0,
  };
}
