/**
 * How long a run has taken, how long it will take, and its memory: the columns that listeners add to a log record.
 */
import type { TrainEvent } from '../train/events.ts';
import { formatDuration } from '../util/duration.ts';

export interface Stopwatch {
  /** Starts at the `start` event. */
  onEvent(event: TrainEvent): void;
  /** Seconds since the start. */
  elapsed(): number;
  /** Seconds per step since the start, 0 before the first. */
  secondsPerStep(step: number): number;
  /** Largest resident set so far, GiB. */
  memory(): number;
  /**
   * `global_step/max_steps`, `elapsed_time`, `remaining_time`, `memory(GiB)`, `train_speed(s/it)`; without the two that
   * follow from the speed before the first step.
   */
  columns(step: number, maxSteps: number): Record<string, string | number>;
}

/** `now` in milliseconds, from a clock that never goes back. */
export function createStopwatch(now: () => number = () => performance.now()): Stopwatch {
  let begin = now();
  let firstStep = 0;
  const stopwatch: Stopwatch = {
    onEvent(event) {
      if (event.type !== 'start') return;
      begin = now();
      firstStep = event.step;
    },
    elapsed: () => (now() - begin) / 1000,
    secondsPerStep: (step) => (step > firstStep ? stopwatch.elapsed() / (step - firstStep) : 0),
    // maxRSS is in KiB on every platform Node supports
    memory: () => Number((process.resourceUsage().maxRSS / 1024 ** 2).toFixed(2)),
    columns(step, maxSteps) {
      const speed = stopwatch.secondsPerStep(step);
      const isKnown = step > firstStep;
      return {
        'global_step/max_steps': `${step}/${maxSteps}`,
        elapsed_time: formatDuration(stopwatch.elapsed()),
        ...(isKnown ? { remaining_time: formatDuration((maxSteps - step) * speed) } : {}),
        'memory(GiB)': stopwatch.memory(),
        ...(isKnown ? { 'train_speed(s/it)': Number(speed.toFixed(6)) } : {}),
      };
    },
  };
  return stopwatch;
}
