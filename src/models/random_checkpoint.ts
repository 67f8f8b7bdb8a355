/**
 * Writes a checkpoint with random weights: a model to train, to test or to time.
 * Streams tensor by tensor, so only the disk limits the size of the model.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFolderAtomically } from '../checkpoint/atomic_folder.ts';
import {
  allocateWords,
  bytesOf,
  DTYPE_OF_NAME,
  type DtypeName,
  narrow,
  type WeightDtype,
} from '../checkpoint/dtypes.ts';
import { readJsonFile } from '../checkpoint/json_file.ts';
import { copyFiles, TOKENIZER_FILES } from '../checkpoint/model_files.ts';
import { CHUNK_ELEMENTS, elementCount, type TensorToWrite } from '../checkpoint/safetensors.ts';
import { writeShards } from '../checkpoint/write_shards.ts';
import { SightlineError } from '../errors.ts';
import { isJsonObject } from '../util/json.ts';
import { createRandom, type Random } from '../util/random.ts';
import { type CheckpointSizes, type ControlTokens, publishedConfig } from './qwen2_5_vl/presets.ts';
import { parseConfig } from './registry.ts';
import { expectedTensors } from './tensors.ts';

export type { CheckpointSizes };

/** The normal distribution of a tensor's values; with std 0 every value is the mean. */
export interface TensorInit {
  readonly mean: number;
  readonly std: number;
}

export interface RandomCheckpointOptions {
  readonly sizes: CheckpointSizes;
  /** Folder with tokenizer.json and possibly chat template and processor files; all are copied. */
  readonly tokenizerDir: string;
  /** Default 0. Equal seeds give equal bytes; a tensor's values depend on the seed and its name only. */
  readonly seed?: number;
  /** Default float32. */
  readonly dtype?: DtypeName;
  /** Largest size of a shard's data in bytes (default 5 GB; Infinity: one file). */
  readonly maxShardBytes?: number;
  /** Default `defaultInit`. */
  readonly init?: (name: string, shape: readonly number[]) => TensorInit;
  readonly overwrite?: boolean;
}

/**
 * Writes the folder completely or not at all. config.json and tensor names have the published layout; the ids of control
 * tokens come from the tokenizer.
 *
 * Errors: E_CONFIG_INVALID for impossible sizes, E_TOKENIZER_INVALID, and those of writeFolderAtomically.
 */
export async function writeRandomCheckpoint(dir: string, options: RandomCheckpointOptions): Promise<void> {
  const { sizes, tokenizerDir, seed = 0, dtype = 'float32', init = defaultInit } = options;
  const tokens = controlTokensIn(tokenizerDir, sizes.vocabSize);
  const configJson = publishedConfig(sizes, tokens, dtype);
  const config = parseConfig(configJson, 'sizes of the random checkpoint');
  const generation = {
    bos_token_id: tokens.endOfText,
    eos_token_id: [tokens.imEnd, tokens.endOfText],
    pad_token_id: tokens.endOfText,
  };
  const values = randomValues(createRandom(seed), DTYPE_OF_NAME[dtype]);
  const tensors = [...expectedTensors(config)].map(([name, shape]): TensorToWrite => {
    return { name, shape, dtype: DTYPE_OF_NAME[dtype], chunks: () => values(name, shape, init(name, shape)) };
  });
  await writeFolderAtomically(
    dir,
    async (folder) => {
      await writeFile(join(folder, 'config.json'), `${JSON.stringify(configJson, null, 2)}\n`);
      await writeFile(join(folder, 'generation_config.json'), `${JSON.stringify(generation, null, 2)}\n`);
      await copyFiles(tokenizerDir, folder, TOKENIZER_FILES);
      await writeShards(folder, tensors, options.maxShardBytes);
    },
    { overwrite: options.overwrite },
  );
}

/** The initialisation of transformers: norms 1, biases 0, everything else normal with a standard deviation of 0.02. */
export function defaultInit(name: string, shape: readonly number[]): TensorInit {
  if (shape.length > 1) return { mean: 0, std: 0.02 };
  return { mean: name.endsWith('.bias') ? 0 : 1, std: 0 };
}

/** Ids of the control tokens, from the added tokens of tokenizer.json. Error: E_TOKENIZER_INVALID. */
export function controlTokensIn(tokenizerDir: string, vocabSize: number): ControlTokens {
  const path = join(tokenizerDir, 'tokenizer.json');
  const { added_tokens: added } = readJsonFile(path);
  const refuse = (message: string): SightlineError =>
    new SightlineError('E_TOKENIZER_INVALID', message, {
      where: path,
      hint: 'use the tokenizer of a Qwen2.5-VL model',
    });
  if (!Array.isArray(added)) throw refuse('field added_tokens is not an array');
  const ids = new Map<unknown, unknown>();
  for (const token of added) if (isJsonObject(token)) ids.set(token.content, token.id);
  const idOf = (content: string): number => {
    const id = ids.get(content);
    if (typeof id !== 'number') throw refuse(`control token ${content} is missing`);
    if (id >= vocabSize)
      throw refuse(`control token ${content} has id ${id}, but the model's vocabulary has ${vocabSize}`);
    return id;
  };
  return {
    endOfText: idOf('<|endoftext|>'),
    imEnd: idOf('<|im_end|>'),
    visionStart: idOf('<|vision_start|>'),
    visionEnd: idOf('<|vision_end|>'),
    imagePad: idOf('<|image_pad|>'),
    videoPad: idOf('<|video_pad|>'),
  };
}

// --- internal ---

/** Number of entries in the table of draws; one 32-bit random number picks two of them. */
const TABLE_SIZE = 1 << 16;

/**
 * Fast random tensors. Values are picked from a table of 65,536 normal draws, which is standardised to mean 0 and standard
 * deviation 1, then scaled and converted to the stored dtype once per distribution.
 */
function randomValues(random: Random, dtype: WeightDtype) {
  const draws = standardised(Float32Array.from({ length: TABLE_SIZE }, () => random.normal()));
  const tables = new Map<string, Uint16Array | Uint32Array>();
  const tableOf = ({ mean, std }: TensorInit): Uint16Array | Uint32Array => {
    const key = `${mean} ${std}`;
    const made = tables.get(key);
    if (made !== undefined) return made;
    const table = allocateWords(dtype, TABLE_SIZE);
    const scaled = draws.map((draw) => mean + std * draw);
    narrow(dtype, scaled, table);
    tables.set(key, table);
    return table;
  };
  return function* chunks(name: string, shape: readonly number[], init: TensorInit): Generator<Uint8Array> {
    const table = tableOf(init);
    const stream = random.fork(name);
    const count = elementCount(shape);
    const words = allocateWords(dtype, Math.min(CHUNK_ELEMENTS, count));
    for (let done = 0; done < count; done += words.length) {
      const part = words.subarray(0, Math.min(words.length, count - done));
      for (let i = 0; i < part.length; i += 2) {
        const bits = stream.next() * 2 ** 32;
        part[i] = table[bits & 0xffff]!;
        // In a part of odd length this may write past the end, which typed arrays ignore.
        part[i + 1] = table[bits >>> 16]!;
      }
      yield bytesOf(part);
    }
  };
}

function standardised(draws: Float32Array): Float32Array {
  let sum = 0;
  let squares = 0;
  for (const draw of draws) {
    sum += draw;
    squares += draw * draw;
  }
  const mean = sum / draws.length;
  const std = Math.sqrt(squares / draws.length - mean * mean);
  return draws.map((draw) => (draw - mean) / std);
}
