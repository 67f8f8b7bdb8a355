/**
 * Measures elapsed and remaining time and memory of a run: the columns that listeners add to a log record.
 */
import type { Phase, TrainEvent } from '../train/events.ts';
import { formatDuration } from '../util/duration.ts';

export interface Stopwatch {
  /** Starts at the `start` event. */
  onEvent(event: TrainEvent): void;
  /** Seconds since the start. */
  elapsed(): number;
  /**
   * Mean seconds of a training step, without evaluations and saves; 0 before the first step. The first step compiles all
   * kernels, so it counts only as long as it is the only one.
   */
  secondsPerStep(): number;
  /** Estimated seconds to the end of the run, including the remaining evaluations and saves; null before the first step. */
  remaining(maxSteps: number): number | null;
  /** Largest use of memory so far, in GiB; null if it is not known. */
  memory(): number | null;
  /** Most memory that the run has held on its device, in GiB; null if that is the memory of the process. */
  deviceMemory(): number | null;
  /** The columns of TIME_COLUMNS. Those that are not known are missing: before the first step, time left and speed. */
  columns(step: number, maxSteps: number): Record<string, string | number>;
}

/** Columns that say how a run goes on its machine, and nothing of what it learns. */
export const TIME_COLUMNS = [
  'global_step/max_steps',
  'elapsed_time',
  'remaining_time',
  'memory(GiB)',
  'device_memory(GiB)',
  'train_speed(s/it)',
] as const;

/**
 * @param now monotonic clock in milliseconds
 * @param memory of another process than this one, in GiB
 */
export function createStopwatch(
  now: () => number = () => performance.now(),
  memory: () => number | null = ownMemory,
): Stopwatch {
  let begin = now();
  /** Evaluations and saves: their planned number, their number so far, and their total seconds. */
  const beside = {
    eval: { planned: 0, done: 0, seconds: 0 },
    save: { planned: 0, done: 0, seconds: 0 },
  };
  let open: { readonly kind: keyof typeof beside; readonly since: number } | null = null;
  /** Step numbers: at the start of the run, after its first step, and after its latest step. */
  let steps = { start: 0, first: 0, last: 0 };
  /** Training seconds at the first and the latest step. */
  let training = { first: 0, last: 0 };
  let onDevice: number | null = null;

  const elapsed = (): number => (now() - begin) / 1000;
  const besideSeconds = (): number =>
    beside.eval.seconds + beside.save.seconds + (open === null ? 0 : (now() - open.since) / 1000);
  const trainingSeconds = (): number => elapsed() - besideSeconds();
  const closeOpen = (): void => {
    if (open === null) return;
    beside[open.kind].seconds += (now() - open.since) / 1000;
    beside[open.kind].done++;
    open = null;
  };
  const stepDone = (step: number): void => {
    if (step <= steps.last) return;
    const seconds = trainingSeconds();
    if (steps.last === steps.start) {
      steps = { ...steps, first: step };
      training = { ...training, first: seconds };
    }
    steps = { ...steps, last: step };
    training = { ...training, last: seconds };
  };

  const stopwatch: Stopwatch = {
    onEvent(event) {
      if (event.type === 'phase') {
        if (!event.begins) return;
        closeOpen();
        if (isBeside(event.phase)) open = { kind: event.phase, since: now() };
      }
      if (event.type === 'eval' || event.type === 'checkpoint') closeOpen();
      if (event.type === 'start') {
        begin = now();
        steps = { start: event.step, first: event.step, last: event.step };
        beside.eval.planned = event.planned?.eval ?? 0;
        beside.save.planned = event.planned?.save ?? 0;
      }
      if (event.type === 'progress' || event.type === 'log') stepDone(event.step);
      if (event.type === 'log' || event.type === 'end') onDevice = event.deviceMemory ?? onDevice;
    },
    elapsed,
    secondsPerStep() {
      if (steps.last === steps.start) return 0;
      return steps.last === steps.first
        ? training.last / (steps.last - steps.start)
        : (training.last - training.first) / (steps.last - steps.first);
    },
    remaining(maxSteps) {
      if (steps.last === steps.start) return null;
      const left = (maxSteps - steps.last) * stopwatch.secondsPerStep() - (trainingSeconds() - training.last);
      const others = KINDS.map((kind) => {
        const { planned, done, seconds } = beside[kind];
        const under = open?.kind === kind ? (now() - open.since) / 1000 : 0;
        return done === 0 ? 0 : Math.max(0, (planned - done) * (seconds / done) - under);
      });
      return others.reduce((sum, seconds) => sum + seconds, Math.max(0, left));
    },
    memory,
    deviceMemory: () => (onDevice === null ? null : gib(onDevice)),
    columns(step, maxSteps) {
      const remaining = stopwatch.remaining(maxSteps);
      const held = stopwatch.memory();
      const there = stopwatch.deviceMemory();
      return {
        'global_step/max_steps': `${step}/${maxSteps}`,
        elapsed_time: formatDuration(elapsed()),
        ...(remaining === null ? {} : { remaining_time: formatDuration(remaining) }),
        ...(held === null ? {} : { 'memory(GiB)': held }),
        ...(there === null ? {} : { 'device_memory(GiB)': there }),
        ...(remaining === null ? {} : { 'train_speed(s/it)': Number(stopwatch.secondsPerStep().toFixed(6)) }),
      };
    },
  };
  return stopwatch;
}

// --- internal ---

/** Largest resident set; maxRSS is in KiB on all platforms that Node supports. */
const ownMemory = (): number => gib(process.resourceUsage().maxRSS * 1024);

const gib = (bytes: number): number => Number((bytes / 2 ** 30).toFixed(2));

const KINDS = ['eval', 'save'] as const;

const isBeside = (phase: Phase): phase is (typeof KINDS)[number] => phase === 'eval' || phase === 'save';
