/**
 * Writes tensors into a folder as model.safetensors or, above a size, as numbered shards with an index.
 * Names and order come from the caller; only the piece being written is in memory.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { INDEX_FILE, SINGLE_FILE } from './open.ts';
import { type TensorToWrite, writeSafetensors } from './safetensors.ts';
import { byteSize } from './safetensors_header.ts';

/** Default limit of a shard's data in bytes: that of transformers 4 and of the published checkpoints. */
const DEFAULT_SHARD_BYTES = 5_000_000_000;

/** Writes all tensors in order; a new shard begins before a tensor that would exceed `maxShardBytes`. */
export async function writeShards(
  folder: string,
  tensors: readonly TensorToWrite[],
  maxShardBytes: number = DEFAULT_SHARD_BYTES,
): Promise<void> {
  const shards = splitBySize(tensors, maxShardBytes);
  if (shards.length === 1) {
    await writeSafetensors(join(folder, SINGLE_FILE), tensors);
    return;
  }
  const pad = (n: number): string => String(n).padStart(5, '0');
  const weightMap: [string, string][] = [];
  for (const [i, shard] of shards.entries()) {
    const file = `model-${pad(i + 1)}-of-${pad(shards.length)}.safetensors`;
    await writeSafetensors(join(folder, file), shard);
    for (const { name } of shard) weightMap.push([name, file]);
  }
  const totalSize = tensors.reduce((sum, tensor) => sum + sizeOf(tensor), 0);
  const index = { metadata: { total_size: totalSize }, weight_map: Object.fromEntries(weightMap) };
  await writeFile(join(folder, INDEX_FILE), `${JSON.stringify(index, null, 2)}\n`);
}

// --- internal ---

function sizeOf({ name, dtype, shape }: TensorToWrite): number {
  const size = byteSize(dtype, shape);
  if (size === null) throw new Error(`internal: tensor ${name} of shape [${shape}] cannot be stored`);
  return size;
}

function splitBySize(tensors: readonly TensorToWrite[], limit: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const size = sizeOf(tensor);
    if (filled > 0 && filled + size > limit) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += size;
  }
  return shards;
}
