/**
 * Whether a model's head is tied to its embedding, according to config.json and to the stored weights.
 * Follows transformers 5 (`PreTrainedModel.tie_weights`): if both tensors are stored and differ, both are used.
 */
import { join } from 'node:path';
import { isJsonObject, type JsonObject } from '../util/json.ts';
import { readJsonFile } from './json_file.ts';
import type { Checkpoint } from './open.ts';
import { CHUNK_ELEMENTS, elementCount } from './safetensors.ts';

export const HEAD = 'lm_head.weight';
export const EMBEDDING = 'model.embed_tokens.weight';

/** Whether config.json ties the head. Either level may say so; the other one cannot revoke it. */
export function saysTied(config: JsonObject): boolean {
  const text = isJsonObject(config.text_config) ? config.text_config : {};
  return config.tie_word_embeddings === true || text.tie_word_embeddings === true;
}

/** Whether a head is stored whose values differ from the embedding's. Error: E_WEIGHT_NOT_FINITE. */
export function storesOwnHead(checkpoint: Checkpoint): boolean {
  const [head, embedding] = [HEAD, EMBEDDING].map((name) => checkpoint.tensors.get(name));
  if (head === undefined || embedding === undefined) return false;
  if (head.shape.join() !== embedding.shape.join()) return true;
  const count = elementCount(head.shape);
  const a = new Float32Array(Math.min(count, CHUNK_ELEMENTS));
  const b = new Float32Array(a.length);
  for (let done = 0; done < count; done += CHUNK_ELEMENTS) {
    const length = Math.min(CHUNK_ELEMENTS, count - done);
    const [heads, embeddings] = [a.subarray(0, length), b.subarray(0, length)];
    checkpoint.readInto(HEAD, heads, done);
    checkpoint.readInto(EMBEDDING, embeddings, done);
    for (let i = 0; i < length; i++) if (heads[i] !== embeddings[i]) return true;
  }
  return false;
}

/** Whether the head is tied to the embedding. Error: E_WEIGHT_NOT_FINITE. */
export function isHeadTied(checkpoint: Checkpoint): boolean {
  return saysTied(readJsonFile(join(checkpoint.dir, 'config.json'))) && !storesOwnHead(checkpoint);
}
