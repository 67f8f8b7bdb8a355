/**
 * Rows that a run with `--strict false` goes on without: which faults are let pass, and what is said of them; and what is
 * said of rows that are kept.
 * Knows rows and errors; who says it, and where, is the journal's business.
 */
import type { CountedNote } from '../data/dataset.ts';
import type { Row, RowNote } from '../data/row.ts';
import type { SightlineError } from '../errors.ts';
import { plural } from '../util/plural.ts';

/** A row and why it is left out. */
export interface LeftOutRow {
  readonly where: string;
  readonly message: string;
}

export interface LeftOut {
  /** Sentences for the reader, in the order the rows were found; grows while rows are read. */
  readonly told: readonly string[];
  /** Rows found faulty before the run began: the first of them, and how many. */
  atOpening(first: readonly LeftOutRow[], count: number): void;
  /** Rows that are kept, but not read in the way their author may think. */
  noted(notes: readonly CountedNote[]): void;
  /** A row that turned out faulty when it was read. One that comes again, in another epoch, is not told again. */
  whileReading(row: Pick<Row, 'where'>, error: SightlineError): void;
}

export function createLeftOut(): LeftOut {
  const told: string[] = [];
  const read = new Set<string>();
  return {
    told,
    atOpening(first, count) {
      for (const { where, message } of first.slice(0, TOLD_AT_OPENING)) told.push(`left out ${where}: ${message}`);
      if (count > TOLD_AT_OPENING) told.push(`left out ${count - TOLD_AT_OPENING} more rows that have faults`);
    },
    noted(notes) {
      for (const { note, count, where } of notes) {
        const text = `${plural(count, 'row has', 'rows have')} ${NOTES[note]} (first: ${where})`;
        // A file may be given twice, for training and for evaluation.
        if (!told.includes(text)) told.push(text);
      }
    },
    whileReading({ where }, { message }) {
      if (read.has(where)) return;
      read.add(where);
      // Later ones are told when their number has doubled: a folder of broken images must not fill the terminal.
      const isTold = read.size <= TOLD_WHILE_READING || Number.isInteger(Math.log2(read.size / TOLD_WHILE_READING));
      if (isTold) told.push(`left out ${where}: ${message} (${read.size} so far that could not be read)`);
    },
  };
}

/** Whether a row has an image that cannot be used: the faults that only its pixels show, and files changed meanwhile. */
export const isImageFault = ({ code }: SightlineError): boolean => IMAGE_FAULTS.has(code);

// --- internal ---

const NOTES: Readonly<Record<RowNote, string>> = {
  'more tags than images': 'more <image> tags than images: the first tags are images, the rest stays text',
  'more placeholders than objects':
    'more <ref-object> or <bbox> placeholders than "objects" has entries: the rest stays text',
};

const TOLD_AT_OPENING = 5;
const TOLD_WHILE_READING = 16;

const IMAGE_FAULTS: ReadonlySet<string> = new Set([
  'E_IMAGE_MISSING',
  'E_IMAGE_UNREADABLE',
  'E_IMAGE_SOURCE',
  'E_IMAGE_FORMAT',
  'E_IMAGE_CORRUPT',
  'E_IMAGE_TOO_LARGE',
  'E_IMAGE_ASPECT',
]);
