/**
 * Which columns a reward may add to completions.jsonl. Knows the names that the file's own columns have.
 */
import { SightlineError } from '../errors.ts';
import type { RewardSignal } from './contract.ts';
import { show } from './describe_value.ts';
import type { Reward } from './reward.ts';
import { placeOfCaller } from './source_location.ts';

/** Columns that each row has, or may have. */
const OWNED: ReadonlySet<string> = new Set([
  'step',
  'prompt',
  'completion',
  'advantages',
  'length',
  'entropy',
  'solution',
  'source',
  'index',
  'images',
]);

export const isOwnedColumn = (column: string): boolean => OWNED.has(column);

/**
 * @param rewards those of the run: their names are columns as well, and their signals are their own
 * @throws SightlineError E_REWARD_RETURN: a name that is none or is taken
 */
export function checkColumn(
  { name: reward, file, signals }: Pick<Reward, 'name' | 'file' | 'signals'>,
  column: unknown,
  rewards: readonly Pick<Reward, 'name' | 'signals'>[],
): void {
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward}" logged ${message}`, { where: placeOfCaller(file), hint });
  if (typeof column !== 'string' || column === '') {
    throw fault(`a column whose name is ${show(column)}`, 'write log_extra(name, values) with a text and a list');
  }
  if (isOwnedColumn(column) || rewards.some(({ name }) => name === column)) {
    throw fault(
      `a column as "${column}", which completions.jsonl has already`,
      `choose another, "${reward}_${column}"`,
    );
  }
  const states = (signal: RewardSignal): boolean => signal.column === column;
  const owner = rewards.find((other) => other.signals?.some(states));
  if (owner !== undefined && !signals?.some(states)) {
    throw fault(`a column as "${column}", the signal of "${owner.name}"`, `choose another, "${reward}_${column}"`);
  }
}
