/**
 * What a run was made of besides its flags: the rows of its datasets and the weights that it began with, as digests. A resumed
 * run has to have the same; paths alone do not say so.
 */
import { join } from 'node:path';
import { ADAPTER_WEIGHTS } from '../../adapters/folder.ts';
import { sampledDigest } from '../../checkpoint/digest.ts';
import { openSafetensors } from '../../checkpoint/safetensors.ts';
import type { RowsDigest } from '../../data/digest.ts';
import { SightlineError } from '../../errors.ts';
import { describe, isJsonObject } from '../../util/json.ts';
import type { OpenedRows } from '../data.ts';
import type { PreparedPolicy } from '../policy.ts';

export interface InputDigests {
  /** Rows of --dataset, those that --split_dataset_ratio sets aside included. */
  readonly dataset: RowsDigest;
  /** Rows of --val_dataset; null without. */
  readonly valDataset: RowsDigest | null;
  /** Weights of --model: see `sampledDigest`. */
  readonly model: string;
  /** The same of --ref_adapters; null without. */
  readonly refAdapters: string | null;
}

/** Reads a sample of the weights. Errors: those of reading a file that has changed since it was opened. */
export function inputDigests(
  opened: readonly OpenedRows[],
  { source, options }: Pick<PreparedPolicy, 'source' | 'options'>,
): InputDigests {
  const rowsOf = (name: OpenedRows['flag']): RowsDigest | null =>
    opened.find(({ flag }) => flag === name)?.digest ?? null;
  const reference = options.adapter?.reference ?? null;
  return {
    dataset: rowsOf('--dataset')!,
    valDataset: rowsOf('--val_dataset'),
    model: sampledDigest(source),
    refAdapters: reference === null ? null : digestOfFile(join(reference, ADAPTER_WEIGHTS)),
  };
}

/**
 * @param saved digests of the run that wrote the checkpoint in `dir`
 * @param now digests of the run that continues from it
 * @returns sentences on differences that do not change what is learned
 * Errors: E_RESUME_DATASET for other rows; E_RESUME_MODEL for other weights
 */
export function checkInputs(dir: string, saved: InputDigests, now: InputDigests): string[] {
  if (!isSame(saved.dataset, now.dataset)) {
    throw new SightlineError('E_RESUME_DATASET', `--dataset ${difference(saved.dataset, now.dataset)}`, {
      where: dir,
      hint: `resume with the rows of the run, in their order, and the images of the same sizes; ${OR_NEW_RUN}`,
    });
  }
  for (const [flag, there, here] of [
    ['--model', saved.model, now.model],
    ['--ref_adapters', saved.refAdapters, now.refAdapters],
  ] as const) {
    if (there === here) continue;
    throw new SightlineError('E_RESUME_MODEL', `the weights of ${flag} are not those that the run began with`, {
      where: dir,
      hint: `give the ${flag} of the run, as it was then (args.json beside the checkpoint has its path); ${OR_NEW_RUN}`,
    });
  }
  const [there, here] = [saved.valDataset, now.valDataset];
  if (there === null || here === null || isSame(there, here)) return [];
  return [`--val_dataset ${difference(there, here)}, so evaluations cannot be compared with earlier ones`];
}

/** What is wrong with such digests in a file; null if nothing is. */
export function faultOfInputs(value: unknown): string | null {
  if (!isJsonObject(value)) return `inputs is ${describe(value)}, expected an object`;
  const { dataset, valDataset, model, refAdapters } = value;
  const areSound =
    isRowsDigest(dataset) &&
    (valDataset === null || isRowsDigest(valDataset)) &&
    typeof model === 'string' &&
    (refAdapters === null || typeof refAdapters === 'string');
  return areSound ? null : 'inputs lacks a digest, or has one of another form';
}

// --- internal ---

const OR_NEW_RUN = 'or set --resume_only_model true and --ignore_data_skip true to begin a new run with the weights';

function digestOfFile(path: string): string {
  const file = openSafetensors(path);
  try {
    return sampledDigest({ tensors: file.entries, readRaw: file.readRaw });
  } finally {
    file.close();
  }
}

const isSame = (a: RowsDigest, b: RowsDigest): boolean => a.rows === b.rows && a.sha256 === b.sha256;

const difference = (there: RowsDigest, here: RowsDigest): string =>
  there.rows === here.rows
    ? `has as many rows as the checkpoint was saved with (${here.rows}), but their contents or their order differ`
    : `has ${here.rows} rows, but the checkpoint was saved with ${there.rows}`;

const isRowsDigest = (value: unknown): value is RowsDigest =>
  isJsonObject(value) && Number.isSafeInteger(value.rows) && typeof value.sha256 === 'string';
