/**
 * The files beside the weights: which of them a complete checkpoint folder has, and the fields of config.json that describe
 * the weights. Copies contents unchanged, except for fields that would be wrong in the copy.
 */
import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isJsonObject, type JsonObject } from '../util/json.ts';
import type { DtypeName } from './dtypes.ts';
import { readJsonFile, readJsonFileIfPresent } from './json_file.ts';

/** Files of the tokenizer, chat template and processor, which a model needs beside its weights and config.json. */
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

/** Copies those of the named files that exist. */
export async function copyFiles(from: string, to: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (existsSync(join(from, name))) await copyFile(join(from, name), join(to, name));
  }
}

/** Fields of config.json that change in a copy whose weights are stored differently. */
export interface ConfigChanges {
  /** The stored dtype, so that `dtype="auto"` loads it; undefined: unchanged. */
  readonly dtype?: DtypeName | undefined;
  /** Whether a head is stored beside the embedding. Readers would ignore it if the flag said that it is tied. */
  readonly untied: boolean;
}

/** Limits on the pixels of a resized image; undefined: unchanged. */
export interface PixelLimits {
  readonly minPixels?: number | undefined;
  readonly maxPixels?: number | undefined;
}

/**
 * Writes pixel limits into the image processor's settings of a checkpoint folder, in every form in which those settings
 * state them: `min_pixels`/`max_pixels`, `size`, or both. If there is no such file, it is created.
 */
export async function writePixelLimits(dir: string, limits: PixelLimits): Promise<void> {
  if (limits.minPixels === undefined && limits.maxPixels === undefined) return;
  const [nested, flat] = [join(dir, 'processor_config.json'), join(dir, 'preprocessor_config.json')];
  const whole = readJsonFileIfPresent(nested);
  const processor = whole?.image_processor;
  if (isJsonObject(processor)) await writeJson(nested, { ...whole, image_processor: withLimits(processor, limits) });
  const settings = readJsonFileIfPresent(flat);
  if (settings !== null) await writeJson(flat, withLimits(settings, limits));
  else if (!isJsonObject(processor)) {
    await writeJson(flat, withLimits({ image_processor_type: 'Qwen2VLImageProcessor' }, limits));
  }
}

/** Copies config.json with changes; without any, the copy is identical byte for byte. */
export async function copyConfig(from: string, to: string, { dtype, untied }: ConfigChanges): Promise<void> {
  const name = 'config.json';
  const config = readJsonFile(join(from, name));
  const changed = withFields(config, (key, value) => {
    if (dtype !== undefined && (key === 'torch_dtype' || key === 'dtype')) return dtype;
    return untied && key === 'tie_word_embeddings' ? false : value;
  });
  if (JSON.stringify(changed) === JSON.stringify(config)) return copyFile(join(from, name), join(to, name));
  await writeFile(join(to, name), `${JSON.stringify(changed, null, 2)}\n`);
}

// --- internal ---

const writeJson = (path: string, value: JsonObject): Promise<void> =>
  writeFile(path, `${JSON.stringify(value, null, 2)}\n`);

/** transformers reads `size`, and then lets `min_pixels` and `max_pixels` override it if they are given. */
function withLimits(settings: JsonObject, { minPixels, maxPixels }: PixelLimits): JsonObject {
  const changed: Record<string, unknown> = { ...settings };
  const size: Record<string, unknown> | null = isJsonObject(settings.size) ? { ...settings.size } : null;
  for (const [key, sizeKey, limit] of [
    ['min_pixels', 'shortest_edge', minPixels],
    ['max_pixels', 'longest_edge', maxPixels],
  ] as const) {
    if (limit === undefined) continue;
    if (size !== null) size[sizeKey] = limit;
    if (size === null || isGiven(settings[key])) changed[key] = limit;
  }
  return size === null ? changed : { ...changed, size };
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

/**
 * Changes fields on all levels: transformers 4 writes torch_dtype and 5 writes dtype, at the top and in each part, and
 * tie_word_embeddings may be at both levels too.
 */
function withFields(config: JsonObject, change: (key: string, value: unknown) => unknown): JsonObject {
  const changed: [string, unknown][] = Object.entries(config).map(([key, value]) => [
    key,
    isJsonObject(value) ? withFields(value, change) : change(key, value),
  ]);
  return Object.fromEntries(changed);
}
