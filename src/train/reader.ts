/**
 * Rows in the sampler's order, encoded; rows that are too long end the run, or are passed over and counted.
 * Knows rows by number; what an encoded row is, is the caller's business.
 */
import type { Row } from '../data/row.ts';
import type { Sampler } from '../data/sampler.ts';
import { SightlineError } from '../errors.ts';
import type { RowSource } from './data.ts';

export interface Reader<Encoded> {
  /** The next rows; rows that are passed over are replaced by those after them. */
  next(count: number): Promise<Encoded[]>;
  /** Rows passed over so far. */
  readonly passedOver: number;
}

/** What a row longer than the limit does: `--truncation_strategy`. */
export type LongRows = 'raise' | 'delete';

/**
 * @throws SightlineError (from `next`) what `encode` throws; E_DATASET_EMPTY if every row is too long
 */
export function createReader<Encoded>(
  source: RowSource,
  sampler: Sampler,
  longRows: LongRows,
  encode: (row: Row) => Promise<Encoded>,
): Reader<Encoded> {
  let passedOver = 0;
  let keptAny = false;
  return {
    async next(count) {
      const taken: Encoded[] = [];
      while (taken.length < count) {
        const rows = Array.from({ length: count - taken.length }, () => source.row(sampler.next()));
        const encoded = await Promise.all(rows.map((row) => encodeUnlessLong(row, longRows, encode)));
        const kept = encoded.filter((row) => row !== null);
        taken.push(...kept);
        passedOver += rows.length - kept.length;
        keptAny ||= kept.length > 0;
        // The first epoch has shown every row.
        if (!keptAny && passedOver >= source.length) throw allTooLong(source.length, rows[0]!.where);
      }
      return taken;
    },
    get passedOver() {
      return passedOver;
    },
  };
}

/** An encoded row, or null if it is too long and such rows are to be left out. */
export async function encodeUnlessLong<Encoded>(
  row: Row,
  longRows: LongRows,
  encode: (row: Row) => Promise<Encoded>,
): Promise<Encoded | null> {
  try {
    return await encode(row);
  } catch (error) {
    if (longRows === 'delete' && error instanceof SightlineError && error.code === 'E_PROMPT_TOO_LONG') return null;
    throw error;
  }
}

/** What ends a run of which every row that was tried is too long. */
export function allTooLong(tried: number, where: string, rows = tried): SightlineError {
  const which = tried === rows ? `all ${rows} rows` : `all of the ${tried} rows tried, of ${rows},`;
  return new SightlineError('E_DATASET_EMPTY', `${which} are longer than the limit`, {
    where,
    hint: 'raise --max_length, or lower --max_pixels',
  });
}
