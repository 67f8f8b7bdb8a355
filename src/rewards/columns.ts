/**
 * Reads the columns a reward needs out of the dataset's rows.
 * Knows that a column can be missing; knows nothing of what it means.
 */
import { SightlineError } from '../errors.ts';
import type { RewardKwargs } from './contract.ts';

/**
 * A text column, one entry per completion; numbers and booleans are taken as their text. Null where this row has none.
 *
 * @throws SightlineError E_REWARD_COLUMN if the dataset has no such column or it holds lists or objects
 */
export function textColumn(
  kwargs: Pick<RewardKwargs, string>,
  column: string,
  samples: number,
  reward: string,
): (string | null)[] {
  const values = kwargs[column];
  if (!Array.isArray(values) || values.length !== samples) {
    throw new SightlineError(
      'E_REWARD_COLUMN',
      `reward "${reward}" needs the column "${column}", which the dataset lacks`,
      {
        hint: `add "${column}" to every row of the dataset`,
      },
    );
  }
  return Array.from(values, (value: unknown, i) => {
    if (value === null || value === undefined) return null;
    if (typeof value === 'object') {
      throw new SightlineError(
        'E_REWARD_COLUMN',
        `reward "${reward}" needs text in the column "${column}", got ${JSON.stringify(value).slice(0, 60)} for sample ${i}`,
        { hint: 'write the reference answer as a string' },
      );
    }
    return String(value);
  });
}
