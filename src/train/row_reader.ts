/**
 * Reads and encodes rows in the sampler's order. Rows that are too long or cannot be read end the run or are skipped.
 * Knows rows by number; the caller decides what an encoded row is.
 */
import type { Row } from '../data/row.ts';
import type { Sampler } from '../data/sampler.ts';
import { SightlineError } from '../errors.ts';
import { type RowSource, rowsAt } from './data.ts';
import { isImageFault } from './dropped_rows.ts';

export interface Reader<Encoded> {
  /** The next `count` rows. Skipped rows are replaced by the ones after them. */
  next(count: number): Promise<Encoded[]>;
  /** Rows skipped so far because they are too long. Rows that cannot be read are counted by the source. */
  readonly skipped: number;
}

/** What happens at a row longer than the limit: `--truncation_strategy`. */
export type LongRows = 'raise' | 'delete';

/** Which rows are skipped. */
export interface Tolerance {
  readonly longRows: LongRows;
  /** Records a row whose image cannot be read. If absent, such a row ends the run. */
  readonly leaveOut?: RowSource['leaveOut'];
}

/** Errors of `next`: those of `encode`; E_DATASET_EMPTY if every row is skipped. */
export function createReader<Encoded>(
  source: RowSource,
  sampler: Sampler,
  longRows: LongRows,
  encode: (row: Row) => Promise<Encoded>,
): Reader<Encoded> {
  let skipped = 0;
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
        skipped += rows.length - kept.length - (leftOut - before);
        keptAny ||= kept.length > 0;
        // One epoch has seen every row.
        if (!keptAny && skipped + leftOut >= source.length) throw noneUsable(source.length, rows[0]!.where, tolerance);
      }
      return taken;
    },
    get skipped() {
      return skipped;
    },
  };
}

/** Encodes a row; null if it is skipped. */
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

/** The error for a run whose rows are all skipped, as far as they were tried. */
export function noneUsable(tried: number, where: string, { leaveOut }: Tolerance, rows = tried): SightlineError {
  const which = tried === rows ? `all ${rows} rows` : `all of the ${tried} rows tried, of ${rows},`;
  const images = leaveOut === undefined ? '' : ', or have images that cannot be read';
  return new SightlineError('E_DATASET_EMPTY', `${which} are longer than the limit${images}`, {
    where,
    hint: `raise --max_length, or lower --max_pixels${images === '' ? '' : '; set --strict true to see the first fault'}`,
  });
}
