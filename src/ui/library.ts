/**
 * All runs below the given folders: finds them, follows their files, and tells listeners what has changed.
 */
import { messageOf } from '../errors.ts';
import { createExclusive } from '../util/mutex.ts';
import type { Change } from './api.ts';
import type { Fence } from './inside.ts';
import { createRun, type Run } from './run.ts';
import { findRuns } from './run_folders.ts';

export interface Library {
  /** In the order of their names. */
  runs(): readonly Run[];
  run(id: string): Run | undefined;
  /** Looks at folders and files once. */
  refresh(): Promise<void>;
  /** Refreshes again and again until the signal is aborted. */
  follow(signal: AbortSignal): Promise<void>;
  /** Returns the function that ends the subscription. */
  onChange(listener: (change: Change) => void): () => void;
}

/** @param onFault called once for each kind of error of the system while files are read */
export function createLibrary(fence: Fence, onFault: (error: unknown) => void): Library {
  const faults = new Set<string>();
  let runs = new Map<string, Run>();
  const listeners = new Set<(change: Change) => void>();

  function tell(change: Change): void {
    for (const listener of listeners) listener(change);
  }

  async function discover(): Promise<void> {
    const found = await findRuns(fence);
    const known = new Set(runs.keys());
    const list = found.some(({ id }) => !known.has(id));
    // A run whose folder has gone stays in the list, so that a page that shows it keeps working.
    const all = [...runs.values()].map((run) => run.folder).filter(({ id }) => !found.some((each) => each.id === id));
    const folders = [...found, ...all].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
    runs = new Map(folders.map((folder) => [folder.id, runs.get(folder.id) ?? createRun(folder, fence)]));
    if (list) tell({ runs: [], list });
  }

  /** One at a time, because the files of a run are read on from where the last look ended. */
  const exclusively = createExclusive();
  const refresh = (): Promise<void> => exclusively(look);

  async function look(): Promise<void> {
    await discover();
    for (const run of runs.values()) {
      try {
        if (await run.poll()) tell({ runs: [run.folder.id], list: false });
      } catch (error) {
        // A file that cannot be read now may be readable in a second.
        if (!faults.has(messageOf(error))) onFault(error);
        faults.add(messageOf(error));
      }
    }
  }

  return {
    runs: () => [...runs.values()],
    run: (id) => runs.get(id),
    refresh,
    async follow(signal) {
      while (!signal.aborted) {
        await refresh();
        await pause(PAUSE_MS, signal);
      }
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

// --- internal ---

const PAUSE_MS = 1000;

/** Resolves after the time, or at once when the signal is aborted. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
