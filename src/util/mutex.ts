/**
 * Mutual exclusion: calls that share buffers run one at a time, in the order in which they were made.
 */

/** Returns a function that runs its argument once all earlier ones have settled. */
export function createExclusive(): <T>(run: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (run) => {
    const result = last.then(run, run);
    last = result.catch(() => undefined); // the caller sees the error; the next call only waits
    return result;
  };
}
