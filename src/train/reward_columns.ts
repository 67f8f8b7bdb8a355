/**
 * Compares the columns that rewards say they need with those that the data has, before anything is sampled.
 * Knows names and counts; what a reward makes of a column is its own business.
 */
import { columnsWithValue } from '../data/column_counts.ts';
import { SightlineError } from '../errors.ts';
import type { Reward } from '../rewards/reward.ts';
import type { OpenedRows } from './data.ts';

/**
 * Sentences about columns that some rows lack: these rows get no value from the reward.
 *
 * @throws SightlineError E_REWARD_COLUMN: a column that no row of a dataset has a value in
 */
export async function checkRewardColumns(
  rewards: readonly Pick<Reward, 'name' | 'columns'>[],
  opened: readonly OpenedRows[],
): Promise<string[]> {
  const needed = [...new Set(rewards.flatMap(({ columns = [] }) => columns))];
  const sentences: string[] = [];
  for (const part of opened) {
    for (const column of needed) {
      const readers = rewards.filter(({ columns }) => columns?.includes(column)).map(({ name }) => `"${name}"`);
      const who = readers.length === 1 ? `reward ${readers[0]} needs` : `rewards ${readers.join(', ')} need`;
      const count = part.columns.get(column) ?? 0;
      if (count === 0) throw missing(who, column, part);
      if (count < part.rows.length) sentences.push(await lacking(who, column, part, count));
    }
  }
  return sentences;
}

// --- internal ---

const TOLD_COLUMNS = 30;

function missing(who: string, column: string, { flag, specs, rows, columns }: OpenedRows): SightlineError {
  const names = [...columns.keys()];
  const more = names.length > TOLD_COLUMNS ? `, … (${names.length} in all)` : '';
  return new SightlineError(
    'E_REWARD_COLUMN',
    `${who} the column "${column}", which the dataset lacks: none of its ${rows.length} rows has a value there`,
    {
      where: `${flag} ${specs.join(' ')}`,
      hint: `its columns are ${names.slice(0, TOLD_COLUMNS).join(', ')}${more}; rename the one that is meant, or add "${column}" to the rows`,
    },
  );
}

async function lacking(who: string, column: string, { rows }: OpenedRows, count: number): Promise<string> {
  let first = 0;
  while (first < rows.length - 1 && columnsWithValue(await rows.row(first)).includes(column)) first++;
  return `${who} the column "${column}", in which ${rows.length - count} of ${rows.length} rows have no value (the first: ${(await rows.row(first)).where}). Such a row gets none from it (null) and is judged by the other rewards.`;
}
