/**
 * Rows that a run with `--strict false` leaves out: which faults are tolerated, and what the user is told about them and about
 * oddities of rows that are kept. Knows rows and errors; the journal does the telling.
 */
import type { CountedNote } from '../data/dataset.ts';
import type { Row, RowNote } from '../data/row.ts';
import type { SightlineError } from '../errors.ts';
import { plural } from '../util/plural.ts';

/** A row that is left out, and the reason. */
export interface LeftOutRow {
  readonly where: string;
  readonly message: string;
}

export interface LeftOut {
  /** Sentences for the user, in the order in which rows were found. The list grows while rows are read. */
  readonly told: readonly string[];
  /** Adds rows found faulty before the run begins: the first of them, and how many there are. */
  atOpening(first: readonly LeftOutRow[], count: number): void;
  /** Adds oddities of rows that are kept. */
  noted(notes: readonly CountedNote[]): void;
  /** Adds a row that turned out faulty when it was read. A row that comes again in another epoch is not reported again. */
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
        // The same file may be given for training and for evaluation.
        if (!told.includes(text)) told.push(text);
      }
    },
    whileReading({ where }, { message }) {
      if (read.has(where)) return;
      read.add(where);
      // After the first ones, reports only when the number has doubled, so that a folder of broken images does not fill the terminal.
      const isTold = read.size <= TOLD_WHILE_READING || Number.isInteger(Math.log2(read.size / TOLD_WHILE_READING));
      if (isTold) told.push(`left out ${where}: ${message} (${read.size} so far that could not be read)`);
    },
  };
}

/** Whether an error means that an image of a row cannot be used, because of its pixels or because the file has changed. */
export const isImageFault = ({ code }: SightlineError): boolean => IMAGE_FAULTS.has(code);

// --- internal ---

const NOTES: Readonly<Record<RowNote, string>> = {
  'more tags than images': 'more <image> tags than images: the first tags are images, the others stay text',
  'more placeholders than objects':
    'more <ref-object> or <bbox> placeholders than "objects" has entries: the others stay text',
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
