/**
 * A save that is due amid a run. What it would keep is in memory and the next save writes it again, so that a disk that
 * is full for an hour need not end the run.
 */
import { messageOf, SightlineError } from '../errors.ts';
import type { Journal } from './journal.ts';

export interface SaveAmid {
  /** Steps done, of how many. */
  readonly step: number;
  readonly maxSteps: number;
  readonly journal: Pick<Journal, 'notice'>;
  save(): Promise<unknown>;
}

/**
 * Saves; a disk that refuses is told, and the run goes on.
 *
 * Errors: E_SAVE_FAILED after the last step, whose weights nothing saves later; any other fault at once.
 */
export async function saveAmid({ step, maxSteps, journal, save }: SaveAmid): Promise<void> {
  try {
    await save();
  } catch (error) {
    if (step === maxSteps || !isSaveFailure(error)) throw error;
    const text = `step ${step} could not be saved; the run goes on until the next save: ${messageOf(error)}`;
    await journal.notice('warn', `${text}; ${error.where}: ${error.hint}`);
  }
}

/** Whether a checkpoint could not be written, which says nothing of the weights. */
export function isSaveFailure(error: unknown): error is SightlineError {
  return error instanceof SightlineError && error.code === 'E_SAVE_FAILED';
}
