/**
 * Marks errors that may have left some weights changed and others not.
 */
import { SightlineError } from '../errors.ts';

/** The code of such an error; weights are not saved after it. */
export const HALF_UPDATED = 'E_HALF_UPDATED';

/** Runs what changes weights in place. Errors for users, e.g. of a device's memory, get the code E_HALF_UPDATED. */
export async function changingWeights<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    const { message, where, hint, exitCode } = error;
    throw new SightlineError(HALF_UPDATED, `weights were only partly updated: ${message}`, {
      ...(where === undefined ? {} : { where }),
      ...(hint === undefined ? {} : { hint }),
      exitCode,
      cause: error,
    });
  }
}
