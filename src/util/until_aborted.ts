/**
 * Waiting that a signal can end: for code of others, which may never return and knows no signal.
 */

/** How long is waited in silence. */
export interface Patience {
  /** After these seconds the wait is told of. Doubles each time: what is slow at every step is told a few times in all. */
  seconds: number;
}

export const newPatience = (): Patience => ({ seconds: 60 });

/**
 * What the promise gives, or the signal's reason as soon as it is aborted; the promise is then nobody's business.
 *
 * Keeps the process alive meanwhile. A promise that nothing stands behind does not: the process would end amid the wait,
 * with nothing said and nothing saved, and no signal could end it in good order.
 *
 * @param tell called with the seconds waited so far when `patience` is at its end
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

/** Seconds. Timers of more than 24 days would end at once. */
const DAY = 86_400;
