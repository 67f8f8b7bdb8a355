/**
 * Rows in the sampler's order, encoded; rows that are too long, or cannot be read, end the run or are passed over.
 * Knows rows by number; what an encoded row is, is the caller's business.
 */
import type { Row } from '../data/row.ts';
import type { Sampler } from '../data/sampler.ts';
import { SightlineError } from '../errors.ts';
import { type RowSource, rowsAt } from './data.ts';
import { isImageFault } from './dropped_rows.ts';

export interface Reader<Encoded> {
  /** The next rows; rows that are passed over are replaced by those after them. */
  next(count: number): Promise<Encoded[]>;
  /** Rows passed over so far because they are too long; of those that cannot be read, the source takes note. */
  readonly passedOver: number;
}

/** What a row longer than the limit does: `--truncation_strategy`. */
export type LongRows = 'raise' | 'delete';

/** Which rows are passed over. */
export interface Tolerance {
  readonly longRows: LongRows;
  /** Takes note of a row whose image cannot be read; without it such a row ends the run. */
  readonly leaveOut?: RowSource['leaveOut'];
}

/**
 * @throws SightlineError (from `next`) what `encode` throws; E_DATASET_EMPTY if every row is passed over
 */
export function createReader<Encoded>(
  source: RowSource,
  sampler: Sampler,
  longRows: LongRows,
  encode: (row: Row) => Promise<Encoded>,
): Reader<Encoded> {
  let passedOver = 0;
  let leftOut = 0;
  let keptAny = false;
  const { leaveOut } = source;
  const tolerance: Tolerance = {
    longRows,
    leaveOut:
      leaveOut &&
      ((row, error) => {
        leftOut++;
        leaveOut(row, error);
      }),
  };
  return {
    async next(count) {
      const taken: Encoded[] = [];
      while (taken.length < count) {
        const indices = Array.from({ length: count - taken.length }, () => sampler.next());
        const rows = await rowsAt(source, indices);
        const before = leftOut;
        const encoded = await Promise.all(rows.map((row) => encodeOrPass(row, tolerance, encode)));
        const kept = encoded.filter((row) => row !== null);
        taken.push(...kept);
        passedOver += rows.length - kept.length - (leftOut - before);
        keptAny ||= kept.length > 0;
        // The first epoch has shown every row.
        if (!keptAny && passedOver + leftOut >= source.length)
          throw noneUsable(source.length, rows[0]!.where, tolerance);
      }
      return taken;
    },
    get passedOver() {
      return passedOver;
    },
  };
}

/** An encoded row, or null if it is passed over. */
export async function encodeOrPass<Encoded>(
  row: Row,
  { longRows, leaveOut }: Tolerance,
  encode: (row: Row) => Promise<Encoded>,
): Promise<Encoded | null> {
  try {
    return await encode(row);
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    if (longRows === 'delete' && error.code === 'E_PROMPT_TOO_LONG') return null;
    if (leaveOut === undefined || !isImageFault(error)) throw error;
    leaveOut(row, error);
    return null;
  }
}

/** What ends a run of which every row that was tried is passed over. */
export function noneUsable(tried: number, where: string, { leaveOut }: Tolerance, rows = tried): SightlineError {
  const which = tried === rows ? `all ${rows} rows` : `all of the ${tried} rows tried, of ${rows},`;
  const images = leaveOut === undefined ? '' : ', or have images that cannot be read';
  return new SightlineError('E_DATASET_EMPTY', `${which} are longer than the limit${images}`, {
    where,
    hint: `raise --max_length, or lower --max_pixels${images === '' ? '' : '; set --strict true to see the first fault'}`,
  });
}
