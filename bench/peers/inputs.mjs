/**
 * What every peer is given: one checkpoint with random weights, and rows with one picture each, per picture size.
 * Knows how they are made from sightline's build; knows nothing of the peers.
 */
import { closeSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { MODEL_PRESETS } from '../../dist/models/qwen2_5_vl/presets.js';
import { writeRandomCheckpoint } from '../../dist/models/random_checkpoint.js';
import { createRandom } from '../../dist/util/random.js';

/** Pixels of a picture's side that one visual token stands for: patch 14, merged 2 x 2. */
const PIXELS_PER_TOKEN = 28;

/** What the constant entry of an embedding is: far above the rest of the residual stream, whose deviation stays below 1. */
const CONSTANT = 4;

/**
 * Writes the `mini` preset with the demo's tokenizer into `dir`, and sees to it that tokens which would make the peers' work
 * differ are never sampled: those that end a completion (so every completion has the same length), vision tokens (they crash
 * the peers) and rows of the table that no token has. Entry 0 of every embedding becomes a constant, with the other sign for
 * these tokens. The head is tied to the embeddings, so the constant adds the same to the logit of all other tokens and takes
 * it from these: a probability of 0 in float32. Shapes and work are those of the preset.
 */
export async function writeCheckpoint(dir, tokenizerDir) {
  const sizes = MODEL_PRESETS.mini;
  await writeRandomCheckpoint(dir, { sizes, tokenizerDir, seed: 0, dtype: 'float32', overwrite: true });
  const { added_tokens: added, model } = JSON.parse(readFileSync(join(tokenizerDir, 'tokenizer.json'), 'utf8'));
  const text = new Set(Object.values(model.vocab));
  for (const { id } of added) text.delete(id);

  const file = openSync(join(dir, 'model.safetensors'), 'r+');
  try {
    const length = Buffer.alloc(8);
    readSync(file, length, 0, 8, 0);
    const headerBytes = Number(length.readBigUInt64LE());
    const header = Buffer.alloc(headerBytes);
    readSync(file, header, 0, headerBytes, 8);
    const {
      dtype,
      shape,
      data_offsets: [begin],
    } = JSON.parse(header.toString('utf8'))['model.embed_tokens.weight'];
    const [rows, width] = shape;
    if (dtype !== 'F32' || rows !== sizes.vocabSize) throw new Error(`unexpected embeddings: ${dtype} [${shape}]`);
    const value = Buffer.alloc(4);
    for (let id = 0; id < rows; id++) {
      value.writeFloatLE(text.has(id) ? CONSTANT : -CONSTANT);
      writeSync(file, value, 0, 4, 8 + headerBytes + begin + id * width * 4);
    }
  } finally {
    closeSync(file);
  }
}

/**
 * Writes `count` rows, each with its own picture of noise that becomes `visualTokens` tokens, into `dir`.
 * Returns the path of data.jsonl; pictures are named by absolute path.
 */
export async function writeRows(dir, visualTokens, count) {
  mkdirSync(dir, { recursive: true });
  const side = Math.sqrt(visualTokens) * PIXELS_PER_TOKEN;
  if (!Number.isInteger(side)) throw new Error(`visual tokens must be a square number, got ${visualTokens}`);
  const random = createRandom(visualTokens);
  const lines = [];
  for (let i = 0; i < count; i++) {
    const pixels = Uint8Array.from({ length: side * side * 3 }, () => random.int(256));
    const path = join(dir, `${i}.png`);
    await sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toFile(path);
    const messages = [
      { role: 'system', content: 'Look at the picture, think, then answer.' },
      { role: 'user', content: `<image>Question ${i}: which shape is in the picture, and which colour does it have?` },
    ];
    lines.push(JSON.stringify({ messages, images: [path] }));
  }
  const data = join(dir, 'data.jsonl');
  writeFileSync(data, `${lines.join('\n')}\n`);
  return data;
}
