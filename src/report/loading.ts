/**
 * Describes the progress of reading weights. Says nothing about reads that take about a second.
 */
import type { LoadingEvent } from '../train/events.ts';
import { formatShortDuration } from '../util/duration.ts';

export interface LoadingText {
  /** Temporary text, which the next one replaces; null for none. */
  readonly bar: string | null;
  /** A line that stays; null for none. */
  readonly line: string | null;
}

/**
 * Without a bar, gives a line at the start, one every ten seconds, and one at the end.
 *
 * @param live whether the terminal can show a bar
 * @param now clock in milliseconds
 */
export function loadingText(
  live: boolean,
  now: () => number = () => performance.now(),
): (event: LoadingEvent) => LoadingText {
  let begin = now();
  let lastLine: number | null = null;
  return ({ part, dir, done, total }) => {
    if (done === 0) [begin, lastLine] = [now(), null];
    const seconds = (now() - begin) / 1000;
    const isLong = total >= LARGE || seconds >= 1;
    const name = `${part === 'model' ? 'weights' : 'weights of the reference'} of ${dir}`;
    if (done >= total) {
      const line =
        isLong && total > 0 ? `read ${name}: ${gigabytes(total)} GB in ${formatShortDuration(seconds)}` : null;
      return { bar: null, line };
    }
    if (!isLong) return { bar: null, line: null };
    const left = done > 0 && seconds > 0 ? `, ${formatShortDuration(((total - done) * seconds) / done)} left` : '';
    const text = `reading ${name}: ${gigabytes(done)} of ${gigabytes(total)} GB${left}`;
    if (live) return { bar: text, line: null };
    if (lastLine !== null && now() - lastLine < LINE_MS) return { bar: null, line: null };
    lastLine = now();
    return { bar: null, line: text };
  };
}

// --- internal ---

/** Reading and widening this many bytes takes more than a second. */
const LARGE = 2e9;
const LINE_MS = 10_000;

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(bytes >= 1e10 ? 1 : 2);
