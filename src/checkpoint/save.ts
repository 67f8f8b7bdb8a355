/**
 * Saves weights atomically as a checkpoint folder that transformers loads, with the files and tensor names of the source
 * (without name parts of wrappers).
 * Streams tensor by tensor. Knows nothing about the model beyond what the source contains.
 */
import { SightlineError } from '../errors.ts';
import { writeFolderAtomically } from './atomic_folder.ts';
import {
  allocateWords,
  bytesOf,
  DTYPE_OF_NAME,
  type DtypeName,
  firstNonFinite,
  narrow,
  type WeightDtype,
} from './dtypes.ts';
import { EMBEDDING, HEAD, isHeadTied } from './head.ts';
import { copyConfig, copyFiles, type PixelLimits, TOKENIZER_FILES, writePixelLimits } from './model_files.ts';
import { withoutWrappers } from './names.ts';
import type { Checkpoint, StoredTensor } from './open.ts';
import { CHUNK_ELEMENTS, elementCount, isWeightDtype, type TensorToWrite } from './safetensors.ts';
import { writeShards } from './write_shards.ts';

export interface SaveOptions {
  /** Provides names, shapes, the files beside the weights, and every tensor that `weights` does not provide. */
  readonly source: Checkpoint;
  /** The new value of a tensor by canonical name, or undefined to keep the source's value. */
  readonly weights?: (name: string) => Float32Array | undefined | Promise<Float32Array | undefined>;
  /** Store a head of its own, which `weights` provides, also if the source ties it to the embedding. */
  readonly ownHead?: boolean;
  /** Default: every tensor keeps its dtype, except that F64 becomes F32. */
  readonly dtype?: DtypeName;
  /** Limits of the image processor that replace the source's. */
  readonly pixelLimits?: PixelLimits;
  /** Largest size of a shard's data in bytes (default 5 GB). */
  readonly maxShardBytes?: number;
  /** Replace a folder of that name. */
  readonly overwrite?: boolean;
  /** Adds files to the folder before it gets its final name: training state, args.json. */
  readonly extra?: (folder: string) => Promise<void>;
}

/**
 * Writes `dir` completely or not at all. A head that is tied to the embedding is not stored; if a head is stored,
 * config.json does not say that it is tied.
 *
 * Errors: E_WEIGHT_NOT_FINITE, and those of writeFolderAtomically.
 */
export async function saveCheckpoint(dir: string, options: SaveOptions): Promise<void> {
  const { source, dtype, maxShardBytes, extra, overwrite, ownHead = false } = options;
  const tied = isHeadTied(source);
  const own = [...source.tensors.values()].filter(({ name }) => !(tied && name === HEAD));
  const stored = tied && ownHead ? [...own, headLike(source)] : own;
  const untied = stored.some(({ name }) => name === HEAD);
  const narrowed = stored.some((tensor) => tensor.dtype === 'F64') ? 'float32' : undefined;
  const scratch = createScratch();
  const tensors = stored.map((tensor) => tensorToWrite(tensor, options, scratch));
  await writeFolderAtomically(
    dir,
    async (folder) => {
      await copyConfig(source.dir, folder, { dtype: dtype ?? narrowed, untied });
      await copyFiles(source.dir, folder, [...TOKENIZER_FILES, 'generation_config.json']);
      await writePixelLimits(folder, options.pixelLimits ?? {});
      await writeShards(folder, tensors, maxShardBytes);
      await extra?.(folder);
    },
    { overwrite },
  );
}

// --- internal ---

/** A head stored as the embedding is. */
function headLike(source: Checkpoint): StoredTensor {
  const embedding = source.tensors.get(EMBEDDING);
  if (embedding === undefined) throw new Error('internal: a checkpoint without an embedding');
  return { ...embedding, name: HEAD, storedName: HEAD };
}

/** Buffers for one chunk of elements. All tensors share them, because they are written one after another. */
interface Scratch {
  words(dtype: WeightDtype): ReturnType<typeof allocateWords>;
  floats(): Float32Array;
}

function createScratch(): Scratch {
  const words = new Map<WeightDtype, ReturnType<typeof allocateWords>>();
  let floats: Float32Array | undefined;
  return {
    words(dtype) {
      const known = words.get(dtype) ?? allocateWords(dtype, CHUNK_ELEMENTS);
      words.set(dtype, known);
      return known;
    },
    floats() {
      floats ??= new Float32Array(CHUNK_ELEMENTS);
      return floats;
    },
  };
}

function tensorToWrite(
  stored: StoredTensor,
  { source, weights, dtype: wanted }: SaveOptions,
  scratch: Scratch,
): TensorToWrite {
  const { name, shape } = stored;
  const storedName = withoutWrappers(stored.storedName);
  // The model does not compute with such a tensor, so it is copied unchanged.
  if (!isWeightDtype(stored.dtype)) return { ...stored, name: storedName, chunks: () => [source.readRaw(name)] };
  const own = stored.dtype === 'F64' ? 'F32' : stored.dtype;
  const dtype = wanted === undefined ? own : DTYPE_OF_NAME[wanted];
  const count = elementCount(shape);
  return {
    name: storedName,
    dtype,
    shape,
    async *chunks() {
      const value = await weights?.(name);
      if (value !== undefined && value.length !== count) {
        throw new Error(`internal: ${name} has ${value.length} values, shape [${shape}] needs ${count}`);
      }
      const words = scratch.words(dtype);
      for (let done = 0; done < count; done += CHUNK_ELEMENTS) {
        const length = Math.min(CHUNK_ELEMENTS, count - done);
        const floats = value?.subarray(done, done + length) ?? scratch.floats().subarray(0, length);
        if (value === undefined) source.readInto(name, floats, done);
        const part = words.subarray(0, length);
        narrow(dtype, floats, part);
        requireFinite(name, dtype, floats, part);
        yield bytesOf(part);
      }
    },
  };
}

/** Refuses values that are not finite: on disk they would look like a good checkpoint. */
function requireFinite(name: string, dtype: WeightDtype, values: Float32Array, words: Uint16Array | Uint32Array): void {
  const at = firstNonFinite(dtype, words);
  if (at < 0) return;
  const value = values[at]!;
  throw new SightlineError('E_WEIGHT_NOT_FINITE', `tensor "${name}" holds ${value}, which ${dtype} cannot store`, {
    hint: Number.isFinite(value)
      ? 'save as bfloat16 or float32'
      : 'training has diverged; go back to an earlier checkpoint',
    exitCode: 1,
  });
}
