/**
 * Waits for a promise until a signal aborts the wait: for foreign code that may never return and takes no signal.
 */

/** How long a wait lasts before it is reported. Shared by the waits of a run. */
export interface Patience {
  /** The wait is reported after this many seconds. Doubles with each report, so a slow step is reported only a few times. */
  seconds: number;
}

export const newPatience = (): Patience => ({ seconds: 60 });

/**
 * Resolves to the promise's value, or rejects with the signal's reason as soon as it is aborted. The promise is then ignored.
 *
 * Keeps the process alive meanwhile. A promise without a pending operation behind it would not: the process would exit in
 * the middle of the wait, with no message and nothing saved.
 *
 * @param tell called with the seconds waited so far, each time `patience` runs out
 */
export async function untilAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  tell: (seconds: number) => void = () => undefined,
  patience: Patience = newPatience(),
): Promise<T> {
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (waited: number): void => {
    const { seconds } = patience;
    const more = () => {
      patience.seconds = seconds + Math.min(seconds, DAY);
      tell(seconds);
      wait(seconds);
    };
    timer = setTimeout(more, (seconds - waited) * 1000);
  };
  wait(0);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

// --- internal ---

/** A day in seconds. Bounds the interval because timers of more than 24 days fire at once. */
const DAY = 86_400;
