/**
 * Gaps in a long computation, in which timers, signals and other work of the event loop get their turn.
 * Knows the clock, not what is computed.
 */
import { setImmediate } from 'node:timers/promises';

/** Milliseconds of work after which the event loop gets a turn. */
const WORK_MS = 10;

/** To be awaited between pieces of work that are short beside WORK_MS; most times it does nothing. */
export type Pause = () => Promise<void>;

export function createPause(): Pause {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < WORK_MS) return;
    await setImmediate();
    since = performance.now();
  };
}
