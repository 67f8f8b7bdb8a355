/**
 * Data of the server: requests that keep the last answer while the next one loads, and the stream of changes.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Change } from '../src/ui/api.ts';

/** Fetches JSON. Throws an error with the server's own words. */
export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error((await response.text()).trim() || response.statusText);
  return (await response.json()) as T;
}

export interface Loaded<T> {
  /** Null until the first answer. */
  readonly data: T | null;
  readonly error: string | null;
}

/** @param version asks again when it changes, and shows the old answer meanwhile */
export function useJson<T>(url: string | null, version = 0): Loaded<T> {
  const [state, setState] = useState<Loaded<T> & { readonly url: string | null }>({
    url: null,
    data: null,
    error: null,
  });
  // `version` asks for the same address again.
  useEffect(() => {
    if (url === null) return;
    const controller = new AbortController();
    getJson<T>(url, controller.signal).then(
      (data) => setState({ url, data, error: null }),
      (error: Error) => {
        if (!controller.signal.aborted)
          setState((old) => ({ url, data: old.url === url ? old.data : null, error: error.message }));
      },
    );
    return () => controller.abort();
  }, [url, version]);
  return state;
}

type Listener = (change: Change) => void;
const listeners = new Set<Listener>();
const connection = new Set<(isOpen: boolean) => void>();
let isConnected: boolean | null = null;

/** Opens the stream of changes. The browser connects again by itself after a break. */
export function connect(): void {
  const source = new EventSource('/api/events');
  const tell = (isOpen: boolean): void => {
    isConnected = isOpen;
    for (const listener of connection) listener(isOpen);
  };
  source.addEventListener('ready', () => {
    tell(true);
    for (const listener of listeners) listener({ runs: [], list: true });
  });
  source.addEventListener('error', () => tell(false));
  source.addEventListener('change', (event) => {
    const change = JSON.parse((event as MessageEvent<string>).data) as Change;
    for (const listener of listeners) listener(change);
  });
}

/** Null before the first connection. */
export function useConnection(): boolean | null {
  const [isOpen, setOpen] = useState<boolean | null>(isConnected);
  useEffect(() => {
    connection.add(setOpen);
    return () => void connection.delete(setOpen);
  }, []);
  return isOpen;
}

/** A number that grows when one of these runs has changed, at most once a second. `null` means any run. */
export function useVersion(runs: readonly string[] | null): number {
  const [version, setVersion] = useState(0);
  const key = runs?.join(' ') ?? null;
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    const listener: Listener = (change) => {
      const concerns =
        key === null || change.runs.some((id) => key.includes(id)) || (change.list && change.runs.length === 0);
      if (!concerns || timer.current !== null) return;
      timer.current = setTimeout(() => {
        timer.current = null;
        setVersion((old) => old + 1);
      }, 500);
    };
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, [key]);
  return version;
}
