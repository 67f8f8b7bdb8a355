/**
 * What a run remembers of what it has told: first and last record, evaluations, the whole history, seconds by part.
 * Sits between a loop and its listeners; knows no algorithm.
 */

import type { Json } from '../util/json.ts';
import type { EndEvent, Metrics, Phase, PhaseProgress, RunContext, TrainEvent } from './events.ts';

/** Tells how far a phase has come; may be called as often as one likes. */
export type TellProgress = (progress: PhaseProgress) => void;

export interface Journal {
  /** Passes an event on and remembers it. */
  emit(event: TrainEvent): Promise<void>;
  notice(level: 'info' | 'warn', text: string): Promise<void>;
  /**
   * Runs a phase, tells that it begins and how far it comes, and adds its wall time to the phase.
   *
   * @param at where a phase that comes in parts is when this part begins
   */
  time<T>(phase: Phase, run: (tell: TellProgress) => T | Promise<T>, at?: PhaseProgress): Promise<T>;
  /** Every record so far, as a checkpoint's `log_history` has them. */
  history(): readonly Json[];
  /** Metrics of an evaluation at this very step; null if there was none. */
  evaluationAt(step: number): Metrics | null;
  /** The part of the `end` event that is memory. */
  summary(): Pick<EndEvent, 'firstLog' | 'lastLog' | 'evalBefore' | 'evalAfter' | 'seconds'>;
}

export function createJournal({ emit: tell }: Pick<RunContext, 'emit'>): Journal {
  const history: Json[] = [];
  const seconds: Record<string, number> = {};
  let firstLog: Metrics | null = null;
  let lastLog: Metrics | null = null;
  let evalBefore: Metrics | null = null;
  let lastEvaluation: { step: number; metrics: Metrics } | null = null;

  let leftOut: readonly string[] = [];
  let leftOutTold = 0;
  /** Rows left out since the last event. */
  const tellLeftOut = async (): Promise<void> => {
    const texts = leftOut.slice(leftOutTold);
    leftOutTold = leftOut.length;
    for (const text of texts) await tell({ type: 'notice', level: 'warn', text });
  };

  const emit = async (event: TrainEvent): Promise<void> => {
    if (event.type === 'log') {
      firstLog ??= event.metrics;
      lastLog = event.metrics;
      history.push({ ...event.metrics, epoch: event.epoch, step: event.step });
    }
    if (event.type === 'eval') {
      if (event.step === 0) evalBefore = event.metrics;
      lastEvaluation = { step: event.step, metrics: event.metrics };
      const named = Object.entries(event.metrics).map(([name, value]) => [`eval_${name}`, value]);
      history.push({ ...Object.fromEntries(named), epoch: event.epoch, step: event.step });
    }
    if (event.type !== 'start') await tellLeftOut();
    await tell(event);
    if (event.type === 'start') {
      leftOut = event.data.leftOut ?? [];
      await tellLeftOut();
    }
  };

  return {
    emit,
    notice: (level, text) => emit({ type: 'notice', level, text }),
    async time(phase, run, at = {}) {
      await emit({ type: 'phase', phase, begins: true, ...at });
      const start = performance.now();
      let told = start;
      const progress: TellProgress = (how) => {
        const now = performance.now();
        if (now - told < PROGRESS_MS) return;
        told = now;
        void emit({ type: 'phase', phase, begins: false, ...how });
      };
      try {
        return await run(progress);
      } finally {
        seconds[phase] = (seconds[phase] ?? 0) + (performance.now() - start) / 1000;
      }
    },
    history: () => history,
    evaluationAt: (step) => (lastEvaluation?.step === step ? lastEvaluation.metrics : null),
    summary: () => ({
      firstLog,
      lastLog,
      evalBefore,
      evalAfter: lastEvaluation !== null && lastEvaluation.step > 0 ? lastEvaluation.metrics : null,
      seconds,
    }),
  };
}

/** Progress within a phase is told at most this often: a reader sees no more, and telling it costs nothing then. */
const PROGRESS_MS = 250;

/** Adds up the tokens of a phase and tells their number. */
export function countTokens(tell: TellProgress): (count: number) => void {
  let tokens = 0;
  return (count) => {
    tokens += count;
    tell({ tokens });
  };
}

/** Means of what was added since they were last taken; a name counts only the records that have it. */
export interface Averages {
  add(metrics: Metrics): void;
  take(): Record<string, number>;
}

export function createAverages(): Averages {
  const sums = new Map<string, { sum: number; count: number }>();
  return {
    add(metrics) {
      for (const [name, value] of Object.entries(metrics)) {
        const { sum, count } = sums.get(name) ?? { sum: 0, count: 0 };
        sums.set(name, { sum: sum + value, count: count + 1 });
      }
    },
    take() {
      const means = Object.fromEntries([...sums].map(([name, { sum, count }]) => [name, sum / count]));
      sums.clear();
      return means;
    },
  };
}
