/**
 * Which columns a reward may add to completions.jsonl. Knows the names that the file's own columns have.
 */
import { SightlineError } from '../errors.ts';
import { placeOfCaller } from './place.ts';
import type { Reward } from './registry.ts';
import { show } from './show.ts';

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

/**
 * @param rewards names of the run's rewards, which are columns as well
 * @throws SightlineError E_REWARD_RETURN: a name that is none or is taken
 */
export function checkColumn(
  { name: reward, file }: Pick<Reward, 'name' | 'file'>,
  column: unknown,
  rewards: readonly string[],
): void {
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward}" logged ${message}`, { where: placeOfCaller(file), hint });
  if (typeof column !== 'string' || column === '') {
    throw fault(`a column whose name is ${show(column)}`, 'write log_extra(name, values) with a text and a list');
  }
  if (OWNED.has(column) || rewards.includes(column)) {
    throw fault(
      `a column as "${column}", which completions.jsonl has already`,
      `choose another, "${reward}_${column}"`,
    );
  }
}
