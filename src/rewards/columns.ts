/**
 * The columns of the dataset in the form that rewards get, and access to a column that a reward needs.
 * Knows that a column can be missing; does not know what it means.
 */
import { SightlineError } from '../errors.ts';
import type { RewardKwargs } from './contract.ts';

/**
 * Transposes rows into columns, the form that rewards get. The result has every column that any row has, with undefined
 * where a row lacks it.
 *
 * @param rows one per completion
 * @param required columns that rewards need; present in the result even if none of these rows has them
 */
export function columnArrays(
  rows: readonly Readonly<Record<string, unknown>>[],
  required: readonly string[] = [],
): Record<string, unknown[]> {
  const names = new Set([...rows.flatMap((row) => Object.keys(row)), ...required]);
  // fromEntries keeps a column called __proto__; an assignment would lose it
  return Object.fromEntries([...names].map((name) => [name, rows.map((row) => row[name])]));
}

/**
 * A text column, one entry per completion. Numbers and booleans are converted to text; the entry is null if the row has no
 * value.
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
