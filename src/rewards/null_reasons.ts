/**
 * Reasons for nulls: a reward that cannot judge a completion logs the reason, once per kind of reason in a run.
 */
import type { RewardLogger } from './contract.ts';

/**
 * Returns null and logs the reason if it is new.
 *
 * @param reason a clause that is the same for all completions with this kind of fault
 * @param example the fault of this row
 */
export type NullBecause = (logger: Pick<RewardLogger, 'warn'>, reason: string, example?: string) => null;

/** @param reward its registered name */
export function createNullReasons(reward: string): NullBecause {
  const logged = new Set<string>();
  return (logger, reason, example) => {
    if (logged.has(reason)) return null;
    logged.add(reason);
    const found = example === undefined ? '' : ` (the first: ${example})`;
    logger.warn(`${reward}: ${reason}${found}; such samples get no value (null).`);
    return null;
  };
}
