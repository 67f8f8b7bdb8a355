/**
 * Finds the files of a dataset folder: one that `save_to_disk` of Hugging Face datasets wrote, or a snapshot of a published
 * dataset, of which the training split is read.
 * Knows names of files, not their content.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { readJsonFile } from '../../checkpoint/json_file.ts';
import { SightlineError } from '../../errors.ts';
import { isJsonObject } from '../../util/json.ts';
import { shownNames } from '../columns.ts';

/**
 * The files of a path, in order. A path that is not a folder is its own only file.
 * Errors: E_DATASET_FOLDER for a folder without data files or with those of several datasets; E_DATASET_MISSING for a missing
 * shard; those of `readJsonFile`.
 */
export function filesOf(path: string): readonly string[] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
  if (existsSync(join(path, 'dataset_dict.json'))) return filesOf(savedSplit(path));
  if (existsSync(join(path, 'state.json'))) return savedFiles(path);
  return publishedFiles(path);
}

// --- internal ---

const TRAIN = 'train';

/** A saved `DatasetDict`: one folder per split. */
function savedSplit(path: string): string {
  const { splits } = readJsonFile(join(path, 'dataset_dict.json'));
  const names = textsOf(splits);
  if (names.includes(TRAIN)) return join(path, TRAIN);
  const all = names.map((name) => join(path, name));
  throw fault(
    path,
    `the folder has no split "train"; its splits are ${shownNames(names)}`,
    `give one: ${all.join(', ')}`,
  );
}

/** A saved `Dataset`: state.json names its files. */
function savedFiles(path: string): readonly string[] {
  const state = readJsonFile(join(path, 'state.json'));
  if (Array.isArray(state._indices_data_files) && state._indices_data_files.length > 0) {
    throw fault(path, 'the dataset was saved with an index of its rows', 'save it again with datasets 2.0 or later');
  }
  const list = Array.isArray(state._data_files) ? state._data_files : [];
  const names = textsOf(list.map((entry: unknown) => (isJsonObject(entry) ? entry.filename : null)));
  if (names.length > 0 && names.length === list.length) return names.map((name) => join(path, name));
  throw fault(path, 'state.json names no data files', 'save the dataset again with save_to_disk');
}

const ENDINGS = /\.(jsonl|json|csv|tsv|parquet|arrow)$/i;
/** Files that describe a dataset. They are not data. */
const DESCRIPTIONS = /^(dataset_infos?|state|dataset_dict)\.json$/;
const DEEPEST = 4;

/** The training split, found by name as in the library `datasets`. */
function publishedFiles(path: string): readonly string[] {
  const all = dataFiles(path, DEEPEST).map((file) => ({ file, name: relative(path, file).split(sep).join('/') }));
  if (all.length === 0) {
    throw fault(path, 'the folder holds no dataset', 'give a folder with JSONL, JSON, CSV, Parquet or Arrow files');
  }
  const splits = all.map(({ name }) => splitOf(name));
  const hasSplits = splits.some((split) => split !== null);
  const chosen = hasSplits ? all.filter((_, i) => splits[i] === TRAIN) : all;
  if (chosen.length === 0) {
    const found = [...new Set(splits.filter((split) => split !== null))];
    throw fault(
      path,
      `the folder has no split "train"; its splits are ${shownNames(found)}`,
      'give the files themselves',
    );
  }
  const folders = [...new Set(chosen.map(({ name }) => name.split('/').slice(0, -1).join('/')))];
  if (folders.length > 1) {
    const hint = `give one of them: ${folders
      .slice(0, 4)
      .map((folder) => join(path, folder))
      .join(', ')}`;
    throw fault(path, `the folder holds several datasets, in ${shownNames(folders)}`, hint);
  }
  const endings = [...new Set(chosen.map(({ name }) => ENDINGS.exec(name)![1]!.toLowerCase()))];
  if (endings.length > 1) {
    throw fault(path, `the folder holds files of several formats: ${endings.join(', ')}`, 'give the files themselves');
  }
  checkShards(
    chosen.map(({ name }) => name),
    path,
  );
  return chosen.map(({ file }) => file);
}

/** Files with known extensions, sorted. Names that begin with a dot or an underscore are not data. */
function dataFiles(folder: string, levels: number): string[] {
  const names = readdirSync(folder).filter((name) => !/^[._]/.test(name));
  return names.sort().flatMap((name) => {
    const path = join(folder, name);
    // A snapshot in the Hugging Face cache consists of symbolic links.
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) return levels === 0 ? [] : dataFiles(path, levels - 1);
    return ENDINGS.test(name) && !DESCRIPTIONS.test(name) ? [path] : [];
  });
}

/** Names of splits, found as in `datasets` (data_files.py): between characters that are not letters. */
const SPLITS: readonly (readonly [string, RegExp])[] = [
  [TRAIN, /(^|[-._ 0-9/])(train|training)([-._ 0-9/]|$)/],
  ['validation', /(^|[-._ 0-9/])(validation|valid|dev|val)([-._ 0-9/]|$)/],
  ['test', /(^|[-._ 0-9/])(test|testing|eval|evaluation)([-._ 0-9/]|$)/],
];

const SHARD = /(?:^|\/)([^/]+)-(\d{5})-of-(\d{5})[^/]*$/;

/** The split in the name of a file or of a folder above it; null if there is none. */
function splitOf(name: string): string | null {
  const [, shard] = SHARD.exec(name) ?? [];
  if (shard !== undefined && /^\w+$/.test(shard)) return shard;
  return SPLITS.find(([, pattern]) => pattern.test(name))?.[0] ?? null;
}

/** Checks names such as `train-00001-of-00003`: an interrupted download leaves some out. */
function checkShards(names: readonly string[], path: string): void {
  const shards = names.map((name) => SHARD.exec(name)).filter((match) => match !== null);
  for (const [, split, , count] of shards) {
    const there = new Set(
      shards.filter((match) => match[1] === split && match[3] === count).map((match) => Number(match[2])),
    );
    const lacking = Array.from({ length: Math.min(Number(count), MOST_SHARDS) }, (_, i) => i).find(
      (i) => !there.has(i),
    );
    if (lacking === undefined) continue;
    const name = `${split}-${String(lacking).padStart(5, '0')}-of-${count}`;
    throw new SightlineError('E_DATASET_MISSING', `a part of the dataset is not there: ${name}`, {
      where: path,
      hint: 'fetch the dataset again, or give the files that are there one by one',
    });
  }
}

const MOST_SHARDS = 100_000;

const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string' && each !== '') : [];

function fault(path: string, message: string, hint: string): SightlineError {
  return new SightlineError('E_DATASET_FOLDER', message, { where: path, hint });
}
