/**
 * Opens a checkpoint folder: model.safetensors, or the shards that model.safetensors.index.json names.
 * Checks that files and index agree. Does not know which tensors a model needs.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SightlineError } from '../errors.ts';
import { describe, isJsonObject } from '../util/json.ts';
import { refuseAdapterFolder, refuseAdapterTensor } from './adapter.ts';
import { readJsonFile } from './json_file.ts';
import { howToFetch } from './model_folder.ts';
import { canonicalName } from './names.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors.ts';
import type { SafetensorsDtype } from './safetensors_grammar.ts';

export interface StoredTensor {
  /** Canonical name, as in the published layout. */
  readonly name: string;
  readonly storedName: string;
  /** Any dtype of the format; tensors that the model does not use may have other dtypes than weights. */
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Path of the file that contains it. */
  readonly file: string;
  /** First byte in the file, and one past the last. */
  readonly begin: number;
  readonly end: number;
}

export interface Checkpoint {
  readonly dir: string;
  /** Tensors by canonical name, in the order of the data in the files. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Reads a tensor from disk as float32; F64 is rounded. Nothing is cached. Error: E_WEIGHT_NOT_FINITE. */
  read(name: string): Float32Array<ArrayBuffer>;
  /** Reads `target.length` elements, starting at element `from`, into `target`. Error: E_WEIGHT_NOT_FINITE. */
  readInto(name: string, target: Float32Array, from?: number): void;
  /** Reads bytes of a tensor as stored: `length` of them from byte `from`; by default all. */
  readRaw(name: string, from?: number, length?: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/**
 * Opens a checkpoint; reads headers only. If both forms exist, model.safetensors is used, as in transformers.
 *
 * Errors: E_CHECKPOINT_MISSING, E_CHECKPOINT_ADAPTER, E_CHECKPOINT_INVALID, E_SHARD_MISSING, E_LFS_POINTER,
 * E_SAFETENSORS_INVALID; each names the file and, where one is at fault, the tensor.
 */
export function openCheckpoint(dir: string): Checkpoint {
  refuseAdapterFolder(dir);
  const files: SafetensorsFile[] = [];
  try {
    if (existsSync(join(dir, SINGLE_FILE))) files.push(openSafetensors(join(dir, SINGLE_FILE)));
    else openShards(dir, files);
    return checkpointOver(dir, files);
  } catch (error) {
    for (const file of files) file.close();
    throw error;
  }
}

// --- internal ---

/** Opens every shard of the index. Adds them to `files` one by one, so that the caller can close them after a failure. */
function openShards(dir: string, files: SafetensorsFile[]): void {
  const indexPath = join(dir, INDEX_FILE);
  if (!existsSync(indexPath)) throw missing(dir);
  const weightMap = readWeightMap(indexPath);
  for (const shard of [...new Set(weightMap.values())].sort()) {
    const path = join(dir, shard);
    if (!existsSync(path)) {
      throw new SightlineError('E_SHARD_MISSING', `shard ${shard} is missing`, {
        where: indexPath,
        hint: `the index names it; ${howToFetch(dir)}`,
      });
    }
    files.push(openSafetensors(path));
  }
  const byName = new Map(files.map((file) => [file.path, file]));
  for (const [tensor, shard] of weightMap) {
    if (byName.get(join(dir, shard))?.entries.has(tensor)) continue;
    throw new SightlineError(
      'E_CHECKPOINT_INVALID',
      `tensor "${tensor}" is not in shard ${shard}, although the index says so`,
      {
        where: indexPath,
        hint: 'index and shards belong to different checkpoints, or one is damaged; fetch them again',
      },
    );
  }
}

/** The weight_map of an index, tensor -> file name. Refuses names that lead out of the folder. */
function readWeightMap(indexPath: string): Map<string, string> {
  const weightMap = readJsonFile(indexPath).weight_map;
  if (!isJsonObject(weightMap)) {
    const found = `field weight_map is ${describe(weightMap)}, expected an object`;
    throw new SightlineError('E_CHECKPOINT_INVALID', found, { where: indexPath, hint: 'fetch the index again' });
  }
  const map = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(weightMap)) {
    if (typeof shard !== 'string' || !PLAIN_FILE_NAME.test(shard)) {
      throw new SightlineError('E_CHECKPOINT_INVALID', `tensor "${tensor}": shard is ${describe(shard)}`, {
        where: indexPath,
        hint: 'expected the plain name of a .safetensors file in the same folder',
      });
    }
    map.set(tensor, shard);
  }
  if (map.size === 0) {
    const message = 'field weight_map is empty, expected a file name for each tensor';
    throw new SightlineError('E_CHECKPOINT_INVALID', message, { where: indexPath, hint: 'fetch the index again' });
  }
  return map;
}

/** Allows no path separator of any platform, no drive and no leading dot. */
const PLAIN_FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+=@ -]*\.safetensors$/;

function checkpointOver(dir: string, files: readonly SafetensorsFile[]): Checkpoint {
  const tensors = new Map<string, StoredTensor>();
  const fileOf = new Map<string, SafetensorsFile>();
  for (const file of files) {
    for (const { name: storedName, dtype, shape, begin, end } of file.entries.values()) {
      refuseAdapterTensor(storedName, file.path);
      const name = canonicalName(storedName);
      const other = tensors.get(name);
      if (other !== undefined) {
        const named = other.storedName === storedName ? '' : ` (there as "${other.storedName}")`;
        throw new SightlineError('E_CHECKPOINT_INVALID', `tensor "${storedName}" is also in ${other.file}${named}`, {
          where: file.path,
          hint: 'a tensor may be stored only once; fetch the checkpoint again',
        });
      }
      tensors.set(name, { name, storedName, dtype, shape, file: file.path, begin, end });
      fileOf.set(name, file);
    }
  }
  const find = (name: string): [SafetensorsFile, string] => {
    const tensor = tensors.get(name);
    const file = fileOf.get(name);
    if (tensor !== undefined && file !== undefined) return [file, tensor.storedName];
    throw new SightlineError('E_TENSOR_MISSING', `tensor "${name}" is missing`, {
      where: dir,
      hint: 'config.json and the weights belong to different checkpoints, or a file is damaged',
    });
  };
  return {
    dir,
    tensors,
    read: (name) => {
      const [file, storedName] = find(name);
      return file.read(storedName);
    },
    readInto: (name, target, from = 0) => {
      const [file, storedName] = find(name);
      file.readWeights(storedName, target, from);
    },
    readRaw: (name, from, length) => {
      const [file, storedName] = find(name);
      return file.readRaw(storedName, from, length);
    },
    close: () => {
      for (const file of files) file.close();
    },
  };
}

function missing(dir: string): SightlineError {
  const fault = (message: string, hint: string): SightlineError =>
    new SightlineError('E_CHECKPOINT_MISSING', message, { where: dir, hint });
  if (!existsSync(dir)) {
    return fault('checkpoint folder not found', 'check the path; give a folder that is on this machine');
  }
  if (!statSync(dir).isDirectory()) return fault('a file, not a folder', 'give the folder that contains it');
  return fault(`neither ${SINGLE_FILE} nor ${INDEX_FILE} in the folder`, whereWeightsMayBe(dir));
}

/** The next step, depending on what a folder without weights contains instead. */
function whereWeightsMayBe(dir: string): string {
  const names = readdirSync(dir);
  const runs = names.filter((name) => /^checkpoint-\d+$/.test(name)).sort((a, b) => stepOf(a) - stepOf(b));
  if (runs.length > 0) return `give one of the checkpoints in it: ${join(dir, runs.at(-1)!)}`;
  if (names.includes('snapshots'))
    return 'give its folder below snapshots, or the model by its name (ORGANISATION/NAME)';
  const pickled = names.find((name) => /\.(bin|pt|pth|ckpt|gguf)$/.test(name));
  if (pickled !== undefined) {
    return `${pickled} cannot be read; load the model with transformers, and save it with save_pretrained(), which writes safetensors`;
  }
  const other = names.find((name) => name.endsWith('.safetensors'));
  if (other !== undefined)
    return `${other} is there, but the other files of its checkpoint are not: fetch the whole folder again`;
  const fetch = howToFetch(dir);
  return fetch.startsWith('complete') ? fetch : 'give the folder that holds config.json and the weights';
}

const stepOf = (name: string): number => Number(name.slice('checkpoint-'.length));
