/**
 * Reasons for nulls: a reward that cannot judge a completion says why, once for each kind of reason in a run.
 */
import type { RewardLogger } from './contract.ts';

/**
 * Tells the reader of the run why completions get no value, and is that value.
 *
 * @param reason a clause that is the same for all completions of one kind; told the first time only
 * @param example what was found in this row
 */
export type NullBecause = (logger: Pick<RewardLogger, 'warn'>, reason: string, example?: string) => null;

/** @param reward its registered name */
export function createNullReasons(reward: string): NullBecause {
  const told = new Set<string>();
  return (logger, reason, example) => {
    if (told.has(reason)) return null;
    told.add(reason);
    const found = example === undefined ? '' : ` (the first: ${example})`;
    logger.warn(`${reward}: ${reason}${found}; such samples get no value (null).`);
    return null;
  };
}
