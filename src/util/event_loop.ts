/**
 * Pauses in a long computation that let timers, signals and other work of the event loop run.
 * Knows the clock, not the computation.
 */
import { setImmediate } from 'node:timers/promises';

/** Milliseconds of work between two pauses. */
const WORK_MS = 10;

/** Await it between pieces of work that are short compared with WORK_MS. Most calls return at once. */
export type Pause = () => Promise<void>;

export function createPause(): Pause {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < WORK_MS) return;
    await setImmediate();
    since = performance.now();
  };
}
