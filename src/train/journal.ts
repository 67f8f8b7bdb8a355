/**
 * Passes events from the loop to the listeners and remembers them: first and last record, evaluations, history, seconds by
 * phase. Knows no algorithm.
 */

import type { Json } from '../util/json.ts';
import type { EndEvent, Metrics, Phase, PhaseProgress, RunContext, TrainEvent } from './events.ts';

/** Reports progress within a phase. Cheap enough to call at any rate. */
export type TellProgress = (progress: PhaseProgress) => void;

export interface Journal {
  /** Passes an event on and remembers it. */
  emit(event: TrainEvent): Promise<void>;
  notice(level: 'info' | 'warn', text: string): Promise<void>;
  /**
   * Runs a phase, emits its beginning and its progress, and adds its wall time to the phase's total.
   *
   * @param at progress at the beginning, for a phase that consists of several parts
   */
  time<T>(phase: Phase, run: (tell: TellProgress) => T | Promise<T>, at?: PhaseProgress): Promise<T>;
  /** All records so far, in the form of a checkpoint's `log_history`. */
  history(): readonly Json[];
  /** Metrics of the evaluation at exactly this step; null if there was none. */
  evaluationAt(step: number): Metrics | null;
  state(): JournalState;
  /** Continues from a state, as if its events had been emitted here. */
  restore(state: JournalState, history: readonly Json[]): void;
  /** The remembered part of the `end` event. */
  summary(): Pick<EndEvent, 'firstLog' | 'lastLog' | 'evalBefore' | 'evalAfter' | 'seconds'>;
}

/** What is remembered besides the history. Plain data, for checkpoints. */
export interface JournalState {
  readonly firstLog: Metrics | null;
  readonly lastLog: Metrics | null;
  readonly evalBefore: Metrics | null;
  readonly lastEvaluation: { readonly step: number; readonly metrics: Metrics } | null;
  readonly seconds: Readonly<Record<string, number>>;
}

export function createJournal({ emit: tell }: Pick<RunContext, 'emit'>): Journal {
  let history: Json[] = [];
  let seconds: Record<string, number> = {};
  let firstLog: Metrics | null = null;
  let lastLog: Metrics | null = null;
  let evalBefore: Metrics | null = null;
  let lastEvaluation: JournalState['lastEvaluation'] = null;

  let leftOut: readonly string[] = [];
  let leftOutTold = 0;
  /** Emits the sentences about left-out rows that are new since the last event. */
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
    state: () => ({ firstLog, lastLog, evalBefore, lastEvaluation, seconds: { ...seconds } }),
    restore(state, earlier) {
      ({ firstLog, lastLog, evalBefore, lastEvaluation } = state);
      seconds = { ...state.seconds };
      history = [...earlier];
    },
    summary: () => ({
      firstLog,
      lastLog,
      evalBefore,
      evalAfter: lastEvaluation !== null && lastEvaluation.step > 0 ? lastEvaluation.metrics : null,
      seconds,
    }),
  };
}

/** Minimum milliseconds between two progress events of a phase. */
const PROGRESS_MS = 250;

/** Returns a function that adds up the tokens of a phase and reports the sum. */
export function countTokens(tell: TellProgress): (count: number) => void {
  let tokens = 0;
  return (count) => {
    tokens += count;
    tell({ tokens });
  };
}
