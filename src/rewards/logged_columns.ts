/**
 * Checks the names of columns that a reward adds to completions.jsonl. Knows the file's own columns.
 */
import { SightlineError } from '../errors.ts';
import type { RewardSignal } from './contract.ts';
import { show } from './describe_value.ts';
import type { Reward } from './reward.ts';
import { locationOfCaller } from './source_location.ts';

/** Columns that rows have, or may have, without rewards. */
const OWNED: ReadonlySet<string> = new Set([
  'step',
  'prompt',
  'completion',
  'advantages',
  'length',
  'truncated',
  'entropy',
  'visual_kl',
  'visual_drop',
  'solution',
  'source',
  'index',
  'images',
]);

export const isOwnedColumn = (column: string): boolean => OWNED.has(column);

/**
 * @param rewards all rewards of the run; their names are columns too, and each signal belongs to its reward
 * @throws SightlineError E_REWARD_RETURN if the name is not a text, is empty, or is taken
 */
export function checkColumn(
  { name: reward, file, signals }: Pick<Reward, 'name' | 'file' | 'signals'>,
  column: unknown,
  rewards: readonly Pick<Reward, 'name' | 'signals'>[],
): void {
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward}" logged ${message}`, {
      where: locationOfCaller(file),
      hint,
    });
  if (typeof column !== 'string' || column === '') {
    throw fault(`a column whose name is ${show(column)}`, 'write log_extra(name, values) with a text and a list');
  }
  if (isOwnedColumn(column) || rewards.some(({ name }) => name === column)) {
    throw fault(
      `a column as "${column}", which completions.jsonl has already`,
      `choose another, "${reward}_${column}"`,
    );
  }
  const hasColumn = (signal: RewardSignal): boolean => signal.column === column;
  const owner = rewards.find((other) => other.signals?.some(hasColumn));
  if (owner !== undefined && !signals?.some(hasColumn)) {
    throw fault(`a column as "${column}", the signal of "${owner.name}"`, `choose another, "${reward}_${column}"`);
  }
}
