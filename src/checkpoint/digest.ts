/**
 * A digest of stored weights, by which a resumed run knows its base model again. It reads a sample, because all weights of a
 * large model would take minutes.
 */
import { createHash } from 'node:crypto';
import type { SafetensorsDtype } from './safetensors_grammar.ts';

/** Tensors of a checkpoint or of one file. */
export interface StoredTensors {
  readonly tensors: ReadonlyMap<
    string,
    {
      readonly dtype: SafetensorsDtype;
      readonly shape: readonly number[];
      readonly begin: number;
      readonly end: number;
    }
  >;
  readRaw(name: string, from?: number, length?: number): Uint8Array;
}

/**
 * SHA-256 over name, dtype, shape and sampled bytes of every tensor, hexadecimal. The bytes are four windows of 4 KiB, spread
 * evenly from the first byte to the last; a tensor of up to 16 KiB is covered in full. Training that moves all weights of a
 * tensor changes the digest. A change of a few weights of a large one may be missed. How tensors are spread over files does
 * not matter.
 */
export function sampledDigest({ tensors, readRaw }: StoredTensors): string {
  const hash = createHash('sha256');
  for (const name of [...tensors.keys()].sort()) {
    const { dtype, shape, begin, end } = tensors.get(name)!;
    const size = end - begin;
    hash.update(JSON.stringify([name, dtype, shape]));
    for (const from of windowsOf(size)) hash.update(readRaw(name, from, Math.min(WINDOW, size - from)));
  }
  return hash.digest('hex');
}

// --- internal ---

const WINDOW = 4096;
const WINDOWS = 4;

/** The first bytes of the windows of a tensor of `size` bytes. */
function windowsOf(size: number): number[] {
  if (size <= WINDOW * WINDOWS) return Array.from({ length: Math.ceil(size / WINDOW) }, (_, i) => i * WINDOW);
  return Array.from({ length: WINDOWS }, (_, i) => Math.floor((i * (size - WINDOW)) / (WINDOWS - 1)));
}
