/**
 * One at a time: calls that share buffers wait for each other in the order they were made.
 */

/** A function that runs what it is given after everything given before has ended, well or badly. */
export function createExclusive(): <T>(run: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (run) => {
    const result = last.then(run, run);
    last = result.catch(() => undefined); // its caller sees the error; the next call only waits
    return result;
  };
}
