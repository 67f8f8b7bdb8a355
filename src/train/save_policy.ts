/**
 * Decides what happens if a save fails, and whether a run that ends early saves its weights.
 * Knows when weights are worth keeping, not how they are written.
 */
import { messageOf, SightlineError } from '../errors.ts';
import { HALF_UPDATED } from './half_updated.ts';
import type { Journal } from './journal.ts';
import type { Strategy } from './run_length.ts';

interface Saving {
  /** Steps done. */
  readonly step: number;
  readonly journal: Pick<Journal, 'notice'>;
  save(): Promise<unknown>;
}

/**
 * Saves in the middle of a run. A failed save only gives a warning, because the weights are still in memory and the next save
 * may succeed, for instance after a full disk has been cleared.
 *
 * Errors: E_SAVE_FAILED after the last step, because no later save follows; any other error at once.
 */
export async function saveDue({ step, maxSteps, journal, save }: Saving & { maxSteps: number }): Promise<void> {
  try {
    await save();
  } catch (error) {
    if (step === maxSteps || !isSaveFailure(error)) throw error;
    const text = `step ${step} could not be saved; the run continues until the next save: ${messageOf(error)}`;
    await journal.notice('warn', `${text}; ${error.where}: ${error.hint}`);
  }
}

/**
 * Saves the weights after the last complete step if they are worth keeping. Resolves if the run was stopped by its signal.
 *
 * @param error what ended the run
 * Errors: `error` itself, unless the run was stopped; in that case those of saving.
 */
export async function saveUnfinished(
  error: unknown,
  { step, saveStrategy, signal, journal, save }: Saving & { saveStrategy: Strategy; signal: AbortSignal },
): Promise<void> {
  const stopped = signal.aborted && error === signal.reason;
  // The incomplete step is dropped and the steps before it are kept, unless the weights have diverged or may be half updated, as
  // after a bug of ours.
  const isWhole = stopped || (error instanceof SightlineError && !['E_DIVERGED', HALF_UPDATED].includes(error.code));
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

// --- internal ---

/** Whether writing a checkpoint failed, which does not mean that the weights are bad. */
function isSaveFailure(error: unknown): error is SightlineError {
  return error instanceof SightlineError && error.code === 'E_SAVE_FAILED';
}
