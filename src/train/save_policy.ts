/**
 * Saves that may fail, and what is left of a run that ends before its last step.
 * Knows when weights are worth keeping; not how they are written.
 */
import { messageOf, SightlineError } from '../errors.ts';
import type { Journal } from './journal.ts';
import type { Strategy } from './run_length.ts';

interface Saving {
  /** Steps done. */
  readonly step: number;
  readonly journal: Pick<Journal, 'notice'>;
  save(): Promise<unknown>;
}

/**
 * Saves amid a run. What a save would keep is in memory and the next one writes it again, so a disk that is full for an hour
 * is told, and need not end the run.
 *
 * Errors: E_SAVE_FAILED after the last step, whose weights nothing saves later; any other fault at once.
 */
export async function saveDue({ step, maxSteps, journal, save }: Saving & { maxSteps: number }): Promise<void> {
  try {
    await save();
  } catch (error) {
    if (step === maxSteps || !isSaveFailure(error)) throw error;
    const text = `step ${step} could not be saved; the run goes on until the next save: ${messageOf(error)}`;
    await journal.notice('warn', `${text}; ${error.where}: ${error.hint}`);
  }
}

/**
 * Saves the weights as they were after the last whole step, if it is worth it, and resolves if the run was stopped from
 * outside.
 *
 * @param error what ended the run
 * @throws the error, unless the run was stopped; then what saving fails with
 */
export async function saveUnfinished(
  error: unknown,
  { step, saveStrategy, signal, journal, save }: Saving & { saveStrategy: Strategy; signal: AbortSignal },
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

// --- internal ---

/** Whether a checkpoint could not be written, which says nothing of the weights. */
function isSaveFailure(error: unknown): error is SightlineError {
  return error instanceof SightlineError && error.code === 'E_SAVE_FAILED';
}
