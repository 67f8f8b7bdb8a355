/**
 * The dataset's columns as rewards get them, and reading one that a reward needs.
 * Knows that a column can be missing; knows nothing of what it means.
 */
import { SightlineError } from '../errors.ts';
import type { RewardKwargs } from './contract.ts';

/**
 * Rows of columns as columns of rows, the form rewards get them in: every column that any row has, undefined where a row
 * lacks it.
 *
 * @param rows one per completion
 * @param stated columns that rewards need; they are there even if none of these rows has them
 */
export function columnArrays(
  rows: readonly Readonly<Record<string, unknown>>[],
  stated: readonly string[] = [],
): Record<string, unknown[]> {
  const names = new Set([...rows.flatMap((row) => Object.keys(row)), ...stated]);
  // fromEntries, because assigning to a column called __proto__ would be lost
  return Object.fromEntries([...names].map((name) => [name, rows.map((row) => row[name])]));
}

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
