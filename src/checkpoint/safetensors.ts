/**
 * Reads and writes one safetensors file. Reading takes the header at once and tensors on demand, never the whole file.
 * Knows nothing about shards, models or the meaning of tensor names.
 */
import { closeSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { SightlineError } from '../errors.ts';
import { allocateWords, bytesOf, firstNonFinite, type WeightDtype, widen } from './dtypes.ts';
import { openCheckpointFile } from './json_file.ts';
import { LFS_POINTER_BYTES, refuseLfsPointer } from './lfs_pointer.ts';
import { quoted } from './safetensors_grammar.ts';
import {
  buildHeader,
  DTYPE_BITS,
  headerLength,
  LENGTH_BYTES,
  parseHeader,
  type SafetensorsDtype,
  type SafetensorsEntry,
} from './safetensors_header.ts';

export interface SafetensorsFile {
  readonly path: string;
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Reads bytes of a tensor as stored: `length` of them from byte `from`; by default all. */
  readRaw(name: string, from?: number, length?: number): Uint8Array<ArrayBuffer>;
  /** Reads weights (F32, F16, BF16 or F64) as float32; F64 is rounded. Errors: E_TENSOR_DTYPE, E_WEIGHT_NOT_FINITE. */
  read(name: string): Float32Array<ArrayBuffer>;
  /** Reads `target.length` weights, starting at element `from`. Errors: E_TENSOR_DTYPE, E_WEIGHT_NOT_FINITE. */
  readWeights(name: string, target: Float32Array, from?: number): void;
  close(): void;
}

/**
 * Opens a file and checks its header.
 *
 * Errors: E_FILE_MISSING, E_FILE_UNREADABLE, E_LFS_POINTER, E_SAFETENSORS_INVALID.
 */
export function openSafetensors(path: string): SafetensorsFile {
  const { fd, size } = openCheckpointFile(path);
  try {
    const start = new Uint8Array(Math.min(size, LFS_POINTER_BYTES));
    pread(fd, start, 0, path);
    refuseLfsPointer(start, path);
    const header = new Uint8Array(headerLength(start, size, path));
    pread(fd, header, LENGTH_BYTES, path);
    const { entries, metadata } = parseHeader(header, size, path);
    return fileOver(path, fd, entries, metadata);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** The data in order, in pieces of any size. A piece is only valid until the next one is requested. */
  chunks(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/**
 * Writes a file tensor by tensor and fsyncs it. Wider dtypes come first, so that every tensor is aligned.
 * Throws the system error if the disk fails; the incomplete file stays.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<void> {
  const ordered = tensors.toSorted((a, b) => DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype]);
  const { bytes, entries } = buildHeader(ordered, metadata);
  const handle = await open(path, 'wx');
  try {
    await writeAll(handle, bytes);
    for (const tensor of ordered) {
      const { begin, end } = entries.get(tensor.name)!;
      let written = 0;
      for await (const chunk of tensor.chunks()) {
        await writeAll(handle, chunk);
        written += chunk.byteLength;
      }
      if (written !== end - begin) {
        throw new Error(`internal: tensor ${tensor.name} gave ${written} bytes, expected ${end - begin}`);
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Number of elements that are converted at a time. */
export const CHUNK_ELEMENTS = 1 << 20;

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Whether weights of this dtype can be read as float32. */
export function isWeightDtype(dtype: SafetensorsDtype): dtype is WeightDtype | 'F64' {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' || dtype === 'F64';
}

// --- internal ---

/** Fills `target` from a position of a file, with as many reads as necessary. */
function pread(fd: number, target: Uint8Array, position: number, where: string): void {
  // One read call moves at most 2^31 - 1 bytes.
  const most = 1 << 30;
  for (let done = 0; done < target.length; ) {
    const count = readSync(fd, target, done, Math.min(most, target.length - done), position + done);
    if (count === 0) {
      throw new SightlineError('E_FILE_UNREADABLE', `the file ends at byte ${position + done}, expected more data`, {
        where,
        hint: 'it was changed or cut off while it was being read',
      });
    }
    done += count;
  }
}

function fileOver(
  path: string,
  fd: number,
  entries: SafetensorsFile['entries'],
  metadata: SafetensorsFile['metadata'],
): SafetensorsFile {
  let open = true;
  const entryOf = (name: string): SafetensorsEntry => {
    if (!open) throw new Error(`internal: ${path} is closed`);
    const entry = entries.get(name);
    if (entry !== undefined) return entry;
    throw new SightlineError('E_TENSOR_MISSING', `no tensor "${name}" in the file`, {
      where: path,
      hint: 'the file belongs to another checkpoint, or is damaged; fetch it again',
    });
  };
  const readRaw: SafetensorsFile['readRaw'] = (name, from = 0, length) => {
    const { begin, end } = entryOf(name);
    const bytes = new Uint8Array(length ?? end - begin - from);
    if (from < 0 || begin + from + bytes.length > end) throw new Error(`internal: bytes outside of tensor ${name}`);
    pread(fd, bytes, begin + from, path);
    return bytes;
  };
  const readWeights = (name: string, target: Float32Array, from = 0): void => {
    const entry = entryOf(name);
    if (!isWeightDtype(entry.dtype)) throw wrongDtype(entry, 'weights must be F32, F16, BF16 or F64', path);
    const count = elementCount(entry.shape);
    if (from < 0 || from + target.length > count) {
      throw new Error(`internal: elements ${from} to ${from + target.length} of ${name}, which has ${count}`);
    }
    widenRange(fd, entry, entry.dtype, from, target, path);
  };
  return {
    path,
    entries,
    metadata,
    readRaw,
    readWeights,
    read: (name) => {
      const target = new Float32Array(elementCount(entryOf(name).shape));
      readWeights(name, target);
      return target;
    },
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

/** Reads `target.length` elements of a tensor, chunk by chunk. */
function widenRange(
  fd: number,
  { name, begin }: SafetensorsEntry,
  dtype: WeightDtype | 'F64',
  from: number,
  target: Float32Array,
  path: string,
): void {
  if (dtype === 'F32') {
    pread(fd, bytesOf(target), begin + from * 4, path);
    const words = new Uint32Array(target.buffer, target.byteOffset, target.length);
    const at = firstNonFinite(dtype, words);
    if (at >= 0) throw notFinite(name, target[at]!, from + at, path);
    return;
  }
  if (dtype === 'F64') {
    const doubles = new Float64Array(Math.min(CHUNK_ELEMENTS, target.length));
    for (let done = 0; done < target.length; done += doubles.length) {
      const part = doubles.subarray(0, Math.min(doubles.length, target.length - done));
      pread(fd, new Uint8Array(part.buffer, 0, part.byteLength), begin + (from + done) * 8, path);
      const to = target.subarray(done, done + part.length);
      to.set(part);
      const at = firstNonFinite('F32', new Uint32Array(to.buffer, to.byteOffset, to.length));
      if (at >= 0) throw notFinite(name, part[at]!, from + done + at, path);
    }
    return;
  }
  const words = allocateWords(dtype, Math.min(CHUNK_ELEMENTS, target.length));
  for (let done = 0; done < target.length; done += words.length) {
    const part = words.subarray(0, Math.min(words.length, target.length - done));
    pread(fd, bytesOf(part), begin + (from + done) * part.BYTES_PER_ELEMENT, path);
    widen(dtype, part, target.subarray(done, done + part.length));
    const at = firstNonFinite(dtype, part);
    if (at >= 0) throw notFinite(name, target[done + at]!, from + done + at, path);
  }
}

/** Such a weight must not pass: the model would still answer, because argmax and sampling find a token even among NaNs. */
function notFinite(name: string, value: number, at: number, path: string): SightlineError {
  const message = `tensor ${quoted(name)} holds ${value} at element ${at}, expected finite numbers${Number.isFinite(value) ? ' of float32' : ''}`;
  return new SightlineError('E_WEIGHT_NOT_FINITE', message, {
    where: path,
    hint: 'the training that wrote it has diverged, or the file is damaged; use an earlier checkpoint, or fetch it again',
  });
}

function wrongDtype(entry: SafetensorsEntry, hint: string, path: string): SightlineError {
  const message = `tensor "${entry.name}" has dtype ${entry.dtype}, which cannot be used here`;
  return new SightlineError('E_TENSOR_DTYPE', message, { where: path, hint });
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(1 << 30, bytes.length - done));
    done += bytesWritten;
  }
}
