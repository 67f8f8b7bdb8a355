/**
 * Opens, checks, splits and counts the rows of a run for training and evaluation.
 * Knows arguments and rows, not what a row is used for.
 */
import type { ColumnCounts } from '../data/column_counts.ts';
import { type Dataset, openDataset } from '../data/dataset.ts';
import { createRowsDigest, type RowsDigest } from '../data/digest.ts';
import type { Row } from '../data/row.ts';
import { SightlineError } from '../errors.ts';
import { createRandom } from '../util/random.ts';
import { createLeftOut, type LeftOutRow } from './dropped_rows.ts';
import type { DataSummary } from './events.ts';

export interface RowSource {
  readonly length: number;
  row(index: number): Promise<Row>;
  /** Records a row that cannot be read. Absent if such rows end the run (`strict` true). */
  readonly leaveOut?: ((row: Row, error: SightlineError) => void) | undefined;
}

/** The rows of one flag, before any are set aside for evaluation. */
export interface OpenedRows {
  readonly flag: '--dataset' | '--val_dataset';
  readonly specs: readonly string[];
  readonly rows: RowSource;
  readonly columns: ColumnCounts;
  readonly digest: RowsDigest;
}

export interface TrainingData {
  readonly train: RowSource;
  /** A row of --dataset by its position there (`Row.index`). */
  readonly rowAt: (index: number) => Promise<Row>;
  /** Null if there are no evaluation rows. */
  readonly evaluation: RowSource | null;
  readonly summary: DataSummary;
  /** The rows of each flag, before any are set aside for evaluation. */
  readonly opened: readonly OpenedRows[];
  close(): void;
}

export interface DataArguments {
  readonly dataset: readonly string[];
  readonly valDataset: readonly string[];
  /** Fraction of the training rows set aside for evaluation if there is no `valDataset`. */
  readonly splitDatasetRatio: number;
  readonly dataSeed: number;
  /** New names of columns. */
  readonly columns?: Readonly<Record<string, unknown>> | null;
  readonly strict: boolean;
}

/** Why a row cannot be used: a word or two for the count, and the error that ends a strict run. */
export interface RowFault {
  readonly reason: string;
  readonly error: SightlineError;
}

/**
 * Opens and checks every row before the run begins.
 *
 * @param check what a command requires of a row beyond its form. A faulty row ends the run, or is left out if `strict` is false
 * Errors: those of openDataset and of `check`; E_DATASET_EMPTY if no row is left.
 */
export async function openTrainingData(
  args: DataArguments,
  check?: (row: Row) => RowFault | null,
): Promise<TrainingData> {
  const { strict } = args;
  const open: Dataset[] = [];
  const close = (): void => {
    for (const dataset of open) dataset.close();
  };
  const leftOut = createLeftOut();
  const leaveOut = strict ? undefined : leftOut.whileReading;
  const dropped: Record<string, number> = {};
  const drop = (reason: string, count: number): void => {
    if (count > 0) dropped[reason] = (dropped[reason] ?? 0) + count;
  };
  const opened: OpenedRows[] = [];
  const checked = async (flag: OpenedRows['flag'], specs: readonly string[]): Promise<RowSource> => {
    const dataset = await openDataset(specs, { strict, columns: renamedColumns(args.columns) });
    open.push(dataset);
    drop('cannot be read', dataset.droppedCount);
    leftOut.atOpening(dataset.dropped, dataset.droppedCount);
    leftOut.noted(dataset.notes);
    const kept: number[] = [];
    const faults: LeftOutRow[] = [];
    const digest = createRowsDigest();
    for (let i = 0; i < dataset.length; i++) {
      const row = await dataset.row(i);
      const fault = check?.(row) ?? null;
      if (fault === null) {
        kept.push(i);
        digest.add(row);
      } else if (strict) throw fault.error;
      else {
        drop(fault.reason, 1);
        faults.push({ where: fault.error.where ?? '', message: fault.error.message });
      }
    }
    leftOut.atOpening(faults, faults.length);
    if (kept.length === 0) throw noRows(specs, dropped);
    const rows = pick({ ...dataset, leaveOut }, kept);
    opened.push({ flag, specs, rows, columns: dataset.columns, digest: digest.digest() });
    return rows;
  };

  try {
    let train = await checked('--dataset', args.dataset);
    let evaluation = args.valDataset.length === 0 ? null : await checked('--val_dataset', args.valDataset);
    if (evaluation === null && args.splitDatasetRatio > 0) {
      [train, evaluation] = split(train, args.splitDatasetRatio, args.dataSeed);
    }
    const summary = { rows: train.length, evalRows: evaluation?.length ?? 0, dropped, leftOut: leftOut.told };
    return { train, rowAt: open[0]!.row, evaluation, summary, opened, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Rows of a source, one after the other: rows of one group of a file are read together, and no more groups are held. */
export async function rowsAt(source: RowSource, indices: readonly number[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const index of indices) rows.push(await source.row(index));
  return rows;
}

// --- internal ---

/** As the flag has been checked: names to names. */
const renamedColumns = (columns: DataArguments['columns']): Readonly<Record<string, string>> =>
  (columns ?? {}) as Readonly<Record<string, string>>;

function pick(source: RowSource, indices: readonly number[]): RowSource {
  return { length: indices.length, row: (i) => source.row(indices[i]!), leaveOut: source.leaveOut };
}

/** [the rest, the part set aside]. The part is drawn at random from the seed. Both keep the file order, and neither is empty. */
function split(source: RowSource, ratio: number, seed: number): [RowSource, RowSource] {
  const { length } = source;
  if (length < 2) {
    throw new SightlineError('E_DATASET_EMPTY', `a dataset of ${length} row cannot be split`, {
      where: `--split_dataset_ratio ${ratio}`,
      hint: 'give more rows, or --val_dataset',
    });
  }
  const count = Math.min(length - 1, Math.max(1, Math.round(length * ratio)));
  const shuffled = createRandom(seed)
    .fork('split')
    .shuffle(Array.from({ length }, (_, i) => i));
  const inOrder = (indices: number[]): RowSource =>
    pick(
      source,
      indices.sort((a, b) => a - b),
    );
  return [inOrder(shuffled.slice(count)), inOrder(shuffled.slice(0, count))];
}

function noRows(specs: readonly string[], dropped: Readonly<Record<string, number>>): SightlineError {
  const reasons = Object.entries(dropped).map(([reason, count]) => `${count} (${reason})`);
  return new SightlineError('E_DATASET_EMPTY', `no row is left; left out: ${reasons.join(', ')}`, {
    where: specs.join(', '),
    hint: 'set --strict true to see the first fault',
  });
}
