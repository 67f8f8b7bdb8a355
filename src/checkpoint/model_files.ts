/**
 * The files around the weights: which of them make a checkpoint folder complete, and what config.json says of the weights.
 * Contents are passed on as they are, but for the dtype.
 */
import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DtypeName } from './dtypes.ts';
import { isJsonObject, type JsonObject, readJsonFile } from './json_file.ts';

/** Tokenizer, chat template and processor: what a model needs beside its weights and config.json. */
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'merges.txt',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.json',
  'chat_template.jinja',
  'preprocessor_config.json',
  'processor_config.json',
  'video_preprocessor_config.json',
] as const;

/** Copies those of the named files that are there. */
export async function copyFiles(from: string, to: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (existsSync(join(from, name))) await copyFile(join(from, name), join(to, name));
  }
}

/**
 * Copies config.json; with a dtype, the fields that state the weights' dtype are set to it, so that `dtype="auto"` loads what is
 * stored.
 */
export async function copyConfig(from: string, to: string, dtype: DtypeName | undefined): Promise<void> {
  const name = 'config.json';
  if (dtype === undefined) return copyFile(join(from, name), join(to, name));
  const config = withDtype(readJsonFile(join(from, name)), dtype);
  await writeFile(join(to, name), `${JSON.stringify(config, null, 2)}\n`);
}

/** Whether the checkpoint's head is its embedding, by config.json (either level). */
export function isHeadTied(dir: string): boolean {
  const config = readJsonFile(join(dir, 'config.json'));
  const text = isJsonObject(config.text_config) ? config.text_config : {};
  return (config.tie_word_embeddings ?? text.tie_word_embeddings) === true;
}

// --- internal ---

/** transformers 4 writes torch_dtype, 5 writes dtype, at the top and in each part. */
function withDtype(config: JsonObject, dtype: DtypeName): JsonObject {
  const changed: [string, unknown][] = Object.entries(config).map(([key, value]) => {
    if (key === 'torch_dtype' || key === 'dtype') return [key, dtype];
    return [key, isJsonObject(value) ? withDtype(value, dtype) : value];
  });
  return Object.fromEntries(changed);
}
