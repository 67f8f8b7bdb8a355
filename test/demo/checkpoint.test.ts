import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readJsonFile } from '../../src/checkpoint/json_file.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { readTrainedOn } from '../../src/checkpoint/trained_on.ts';
import { openDataset } from '../../src/data/dataset.ts';
import { packCheckpoint, writeInitialCheckpoint } from '../../src/demo/checkpoint.ts';
import { generateDataset } from '../../src/demo/dataset.ts';
import { specialId } from '../../src/demo/tokenizer.ts';
import { readConfig } from '../../src/models/registry.ts';
import { validateShapes } from '../../src/models/tensors.ts';
import { openTemplate } from '../../src/template/template.ts';
import { parameterCount } from '../models/parameter_count.ts';

let root: string;
let initial: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'demo checkpoint '));
  initial = join(root, 'initial');
  await writeInitialCheckpoint({ seed: 0, outputDir: initial });
});
afterAll(() => rmSync(root, { recursive: true }));

test('says what it knows, and the packed one in the repository says the same', async () => {
  const packed = join(root, 'packed note');
  await packCheckpoint(initial, packed);
  const embedded = fileURLToPath(new URL('../../assets/demo/checkpoint', import.meta.url));
  for (const dir of [initial, packed, embedded]) {
    expect(readTrainedOn(readJsonFile(join(dir, 'config.json'))), dir).toEqual({
      width: 112,
      height: 112,
      subject: 'four coloured shapes on grey',
    });
  }
});

describe('the untrained checkpoint', () => {
  test('is the model of the recipe', async () => {
    const config = await readConfig(initial);
    expect(parameterCount(config)).toBe(1_535_040);
    expect(config.text).toMatchObject({
      hiddenSize: 128,
      numHiddenLayers: 6,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      intermediateSize: 256,
      headDim: 32,
      vocabSize: 448,
      mropeSection: [4, 6, 6],
      ropeTheta: 10_000,
      tieWordEmbeddings: true,
    });
    expect(config.vision).toMatchObject({
      depth: 3,
      hiddenSize: 96,
      intermediateSize: 192,
      numHeads: 4,
      windowSize: 56,
      fullattBlockIndexes: [1],
      outHiddenSize: 128,
    });
    expect(config.imageTokenId).toBe(specialId('<|image_pad|>'));
    expect(config.videoTokenId).toBe(specialId('<|video_pad|>'));
    expect(config.eosTokenIds).toContain(specialId('<|im_end|>'));
  });

  test('has every tensor, normal with deviation 0.02', async () => {
    const checkpoint = openCheckpoint(initial);
    try {
      expect(validateShapes(checkpoint, await readConfig(initial)).extra).toEqual([]);
      const values = checkpoint.read('visual.merger.mlp.0.weight');
      const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
      const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
      expect(Math.abs(mean)).toBeLessThan(3e-4);
      expect(Math.abs(deviation - 0.02)).toBeLessThan(2e-4);
    } finally {
      checkpoint.close();
    }
  });

  test('reads a generated row as 47 tokens, 16 of them the picture', async () => {
    const { data, prompt } = await generateDataset({ kind: 'grpo', rows: 30, seed: 0, outputDir: join(root, 'rows') });
    const config = await readConfig(initial);
    const template = await openTemplate(initial, config, { system: readFileSync(prompt, 'utf8') });
    const dataset = await openDataset([data]);
    try {
      for (let i = 0; i < dataset.length; i++) {
        const row = await dataset.row(i);
        const { ids, images, systemPrefix } = await template.encode(row.messages, row.images);
        expect(images.map(({ gridThw }) => gridThw)).toEqual([[1, 8, 8]]);
        expect(ids.filter((id) => id === config.imageTokenId)).toHaveLength(16);
        expect([ids.length, systemPrefix]).toEqual([row.columns.hint ? 52 : 47, 15]);
      }
    } finally {
      dataset.close();
      await template.close();
    }
  });

  test('is the same for the same seed, another for another', async () => {
    await writeInitialCheckpoint({ seed: 0, outputDir: join(root, 'again') });
    await writeInitialCheckpoint({ seed: 1, outputDir: join(root, 'other') });
    const weights = (dir: string) => readFileSync(join(dir, 'model.safetensors'));
    for (const name of readdirSync(initial)) {
      expect(readFileSync(join(root, 'again', name)).equals(readFileSync(join(initial, name))), name).toBe(true);
    }
    expect(weights(join(root, 'other')).equals(weights(initial))).toBe(false);
  });
});

test('packing halves the weights and changes them by rounding only', async () => {
  const packed = join(root, 'packed');
  await packCheckpoint(initial, packed);
  expect(readdirSync(packed).sort()).toEqual([
    'chat_template.json',
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'preprocessor_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  expect(JSON.parse(readFileSync(join(packed, 'config.json'), 'utf8')).torch_dtype).toBe('bfloat16');
  const [before, after] = [openCheckpoint(initial), openCheckpoint(packed)];
  try {
    expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    for (const [name, { dtype }] of after.tensors) {
      expect(dtype).toBe('BF16');
      const wide = before.read(name);
      // bfloat16 stores 7 bits after the leading one: rounding to nearest is off by at most 2^-8 of the value.
      const worst = after
        .read(name)
        .reduce((max, v, i) => Math.max(max, Math.abs(v - wide[i]!) / Math.abs(wide[i]! || 1)), 0);
      expect(worst, name).toBeLessThanOrEqual(2 ** -8);
    }
  } finally {
    before.close();
    after.close();
  }
});
