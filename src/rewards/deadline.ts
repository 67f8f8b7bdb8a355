/**
 * The time limit of a reward, and the rule for rewards that fail.
 * Knows times and errors; knows nothing of completions.
 */
import { SightlineError } from '../errors.ts';
import { linkedAbort } from '../util/linked_abort.ts';

/** `stop` ends the run with the error. `skip` makes the reward's values for these completions null, with a warning. */
export const REWARD_ERRORS = ['stop', 'skip'] as const;
export type RewardError = (typeof REWARD_ERRORS)[number];

/** Flags `--reward_timeout` and `--reward_error`. */
export interface FailureRule {
  /** Seconds until an answer must be there; null: no limit. */
  readonly timeout: number | null;
  readonly onError: RewardError;
}

export const NO_LIMIT: FailureRule = { timeout: null, onError: 'stop' };

/** The clock of one call. */
export interface Deadline {
  /** Aborted with the run's signal, or with E_REWARD_TIMEOUT when the time is up. */
  readonly signal: AbortSignal;
  /** Stops the clock. */
  end(): void;
}

/**
 * Starts the clock for one call.
 *
 * @param name of the reward, for the message
 */
export function startDeadline(name: string, samples: number, timeout: number | null, signal: AbortSignal): Deadline {
  if (timeout === null) return { signal, end: () => undefined };
  const { signal: either, abort, unlink } = linkedAbort(signal);
  const timer = setTimeout(() => abort(tooLate(name, samples, timeout)), timeout * 1000);
  return {
    signal: either,
    end: () => {
      clearTimeout(timer);
      unlink();
    },
  };
}

/**
 * Whether `--reward_error skip` applies to an error: a timeout, a failed judge, or an exception of the reward. Wrong return
 * values, missing columns and wrong settings would recur at every step, so these errors always end the run.
 */
export function maySkip(error: unknown): error is SightlineError {
  return error instanceof SightlineError && SKIPPED.has(error.code);
}

// --- internal ---

const SKIPPED: ReadonlySet<string> = new Set(['E_REWARD_TIMEOUT', 'E_REWARD_THREW', 'E_REWARD_JUDGE']);

function tooLate(name: string, samples: number, seconds: number): SightlineError {
  return new SightlineError(
    'E_REWARD_TIMEOUT',
    `reward "${name}" has not answered for ${seconds} s, asked about ${samples} completions`,
    {
      where: `--reward_timeout ${seconds}`,
      hint: 'look at what the reward waits for, raise --reward_timeout, or go on without its values: --reward_error skip',
    },
  );
}
