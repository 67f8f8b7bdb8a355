/**
 * How far the reading of weights is, in words: nothing of what takes a second or so, and now and then a line of the rest.
 */
import type { LoadingEvent } from '../train/events.ts';
import { formatShortDuration } from '../util/duration.ts';

export interface LoadingText {
  /** To be replaced by the next one; null: nothing to show. */
  readonly bar: string | null;
  /** To stay. */
  readonly line: string | null;
}

/**
 * Where nobody looks at a bar there is a line at the start, one every ten seconds, and one at the end.
 *
 * @param live whether bars can be shown
 * @param now in milliseconds
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

/** Bytes that take more than a second to read and widen. */
const LARGE = 2e9;
const LINE_MS = 10_000;

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(bytes >= 1e10 ? 1 : 2);
