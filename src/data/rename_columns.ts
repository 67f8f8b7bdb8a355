/**
 * `--columns`: other names for the columns of a dataset, before anything is made of them.
 * Knows names, not what a column means.
 */
import { SightlineError } from '../errors.ts';
import { isJsonObject } from '../util/json.ts';
import { invalidRow, shownNames } from './columns.ts';

export interface Renaming {
  /** A row under its new names; what is no row is given back. Error: E_DATASET_ROW. */
  rename(row: unknown, where: string): unknown;
  /** Error: E_DATASET_COLUMN for names that no row had. */
  checkAllFound(specs: readonly string[]): void;
}

/**
 * As `safe_rename_columns` of ms-swift 4.6: names match in any case, and a row may lack one. Where ms-swift renames nothing
 * without a word (two columns to one name) or leaves the fault to another library (the new name is there already), the row is
 * refused.
 *
 * @param names new names by those that the files have
 */
export function createRenaming(names: Readonly<Record<string, string>>): Renaming {
  const wanted = new Map(Object.entries(names).map(([from, to]) => [from.toLowerCase(), to]));
  const unseen = new Map(Object.keys(names).map((from) => [from.toLowerCase(), from]));
  const seen = new Set<string>();
  if (wanted.size === 0) return { rename: (row) => row, checkAllFound: () => {} };
  return {
    rename: (row, where) => {
      if (!isJsonObject(row)) return row;
      const renamed = new Map<string, { readonly from: string; readonly value: unknown }>();
      for (const [from, value] of Object.entries(row)) {
        if (unseen.size > 0) {
          unseen.delete(from.toLowerCase());
          if (seen.size < COLUMNS_TOLD) seen.add(from);
        }
        const to = wanted.get(from.toLowerCase()) ?? from;
        const other = renamed.get(to);
        if (other !== undefined && other.value !== null && value !== null) {
          throw invalidRow(
            `--columns gives the name ${JSON.stringify(to)} to ${shownNames([other.from, from])}, and both have a value`,
            where,
            'map one of them, or map the other to a name of its own',
          );
        }
        if (other === undefined || other.value === null) renamed.set(to, { from, value });
      }
      return Object.fromEntries([...renamed].map(([to, { value }]) => [to, value]));
    },
    checkAllFound: (specs) => {
      if (unseen.size === 0) return;
      throw new SightlineError(
        'E_DATASET_COLUMN',
        `--columns renames ${shownNames([...unseen.values()])}, which no row has`,
        {
          where: specs.join(', '),
          hint: `the columns are ${shownNames([...seen])}`,
        },
      );
    },
  };
}

// --- internal ---

const COLUMNS_TOLD = 64;
