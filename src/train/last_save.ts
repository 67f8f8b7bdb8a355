/**
 * What is left of a run that ends before its last step: the weights as they were after the last whole one.
 */
import { messageOf, SightlineError } from '../errors.ts';
import type { Journal } from './journal.ts';
import type { Strategy } from './length.ts';
import { isSaveFailure } from './save_amid.ts';

export interface UnfinishedRun {
  /** Steps done. */
  readonly step: number;
  readonly saveStrategy: Strategy;
  readonly signal: AbortSignal;
  readonly journal: Pick<Journal, 'notice'>;
  save(): Promise<unknown>;
}

/**
 * Saves if it is worth it, and resolves if the run was stopped from outside.
 *
 * @param error what ended the run
 * @throws the error, unless the run was stopped; then what saving fails with
 */
export async function saveUnfinished(
  error: unknown,
  { step, saveStrategy, signal, journal, save }: UnfinishedRun,
): Promise<void> {
  const stopped = signal.aborted && error === signal.reason;
  // The step under way is dropped; what was learned before it is kept. Not so weights that have diverged, nor those that a
  // bug of ours may have left half updated.
  const isWhole = stopped || (error instanceof SightlineError && error.code !== 'E_DIVERGED');
  const isTried = isSaveFailure(error);
  if (step > 0 && saveStrategy !== 'no' && isWhole && !isTried) {
    try {
      await save();
    } catch (fault) {
      if (stopped) throw fault;
      await journal.notice('warn', `step ${step} could not be saved: ${messageOf(fault)}`);
    }
  }
  if (!stopped) throw error;
}
