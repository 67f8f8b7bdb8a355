/**
 * Checks, before anything is sampled, that the data has the columns that rewards need.
 * Knows names and counts, not how a reward uses a column.
 */
import { columnsWithValue } from '../data/column_counts.ts';
import { SightlineError } from '../errors.ts';
import type { Reward } from '../rewards/reward.ts';
import type { OpenedRows } from './data.ts';

/**
 * Returns warnings about columns that some rows lack. Such rows get no value from the reward.
 *
 * Error: E_REWARD_COLUMN if no row of a dataset has a value in a needed column.
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

const SHOWN_COLUMNS = 30;

function missing(who: string, column: string, { flag, specs, rows, columns }: OpenedRows): SightlineError {
  const names = [...columns.keys()];
  const more = names.length > SHOWN_COLUMNS ? `, … (${names.length} in all)` : '';
  return new SightlineError(
    'E_REWARD_COLUMN',
    `${who} the column "${column}", but none of the ${rows.length} rows of the dataset has a value in it`,
    {
      where: `${flag} ${specs.join(' ')}`,
      hint: `its columns are ${names.slice(0, SHOWN_COLUMNS).join(', ')}${more}; rename one of them, or add "${column}" to the rows`,
    },
  );
}

async function lacking(who: string, column: string, { rows }: OpenedRows, count: number): Promise<string> {
  let first = 0;
  while (first < rows.length - 1 && columnsWithValue(await rows.row(first)).includes(column)) first++;
  return `${who} the column "${column}", but ${rows.length - count} of ${rows.length} rows have no value in it (first: ${(await rows.row(first)).where}). For such a row the reward is null, and only the other rewards count.`;
}
