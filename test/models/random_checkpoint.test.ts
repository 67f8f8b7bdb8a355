import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/open.ts';
import { type CheckpointSizes, MODEL_PRESETS } from '../../src/models/qwen2_5_vl/presets.ts';
import { type RandomCheckpointOptions, writeRandomCheckpoint } from '../../src/models/random_checkpoint.ts';
import { readConfig } from '../../src/models/registry.ts';
import { validateShapes } from '../../src/models/tensors.ts';
import { folderOf, refusal, scratch, shown } from '../checkpoint/scratch.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { parameterCount } from './parameter_count.ts';

const { model: tokenizerDir } = goldenCheckpoints()[0]!;
const { vocabSize } = (await readConfig(tokenizerDir)).text;

const tiny: CheckpointSizes = {
  hiddenSize: 32,
  intermediateSize: 48,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  vocabSize: vocabSize + 100,
  tieWordEmbeddings: false,
  vision: { depth: 2, hiddenSize: 16, intermediateSize: 20, numHeads: 2, windowSize: 56, fullattBlockIndexes: [1] },
};

async function make(options: Partial<RandomCheckpointOptions> = {}): Promise<Checkpoint> {
  const dir = join(scratch(), 'model');
  await writeRandomCheckpoint(dir, { sizes: tiny, tokenizerDir, ...options });
  return openCheckpoint(dir);
}

function moments(values: Float32Array): { mean: number; std: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return { mean, std: Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length) };
}

const contents = (dir: string): Record<string, string> =>
  Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name)).toString('base64')]));

describe('what is written', () => {
  test('fits its config, whose ids are those of the tokenizer', async () => {
    const checkpoint = await make();
    const config = await readConfig(checkpoint.dir);
    expect(validateShapes(checkpoint, config)).toEqual({ extra: [] });
    const tokenizerConfig = await readConfig(tokenizerDir);
    for (const id of [
      'imageTokenId',
      'videoTokenId',
      'visionStartTokenId',
      'visionEndTokenId',
      'padTokenId',
    ] as const) {
      expect(config[id], id).toBe(tokenizerConfig[id]);
    }
    expect(config.eosTokenIds).toEqual(expect.arrayContaining([...tokenizerConfig.eosTokenIds]));
    expect(config.text).toMatchObject({ hiddenSize: 32, vocabSize: tiny.vocabSize, mropeSection: [1, 1, 2] });
    expect(config.vision).toMatchObject({ depth: 2, windowSize: 56, fullattBlockIndexes: [1], outHiddenSize: 32 });
    expect(checkpoint.tensors.has('lm_head.weight')).toBe(true);
    const copied = readdirSync(tokenizerDir).filter((name) => !/safetensors|^(generation_)?config\.json$/.test(name));
    expect(readdirSync(checkpoint.dir)).toEqual(expect.arrayContaining(copied));
    checkpoint.close();
  });

  test('norms 1, biases 0, matrices normal with a deviation of 0.02', async () => {
    const checkpoint = await make();
    for (const [name, { shape }] of checkpoint.tensors) {
      const values = checkpoint.read(name);
      const { mean, std } = moments(values);
      if (shape.length === 1) {
        expect({ name, mean, std }).toEqual({ name, mean: name.endsWith('.bias') ? 0 : 1, std: 0 });
        continue;
      }
      const tolerance = 5 / Math.sqrt(values.length);
      expect(Math.abs(mean) / 0.02, name).toBeLessThan(tolerance);
      expect(Math.abs(std / 0.02 - 1), name).toBeLessThan(tolerance);
    }
    const embedding = checkpoint.read('model.embed_tokens.weight').map((x) => x / 0.02);
    const within = (limit: number): number => embedding.filter((x) => Math.abs(x) < limit).length / embedding.length;
    expect(within(1)).toBeCloseTo(0.6827, 1.5);
    expect(within(2)).toBeCloseTo(0.9545, 1.5);
    expect(Math.max(...embedding)).toBeGreaterThan(3.2);
    checkpoint.close();
  });

  test('every tensor has its own values', async () => {
    const checkpoint = await make();
    const starts = [...checkpoint.tensors.values()]
      .filter(({ shape }) => shape.length > 1)
      .map(({ name }) => checkpoint.read(name).slice(0, 8).join());
    expect(new Set(starts).size).toBe(starts.length);
    checkpoint.close();
  });

  test("an init of one's own", async () => {
    const checkpoint = await make({
      init: (name) => (name.endsWith('.bias') ? { mean: 0, std: 0.5 } : { mean: -1, std: 0 }),
    });
    expect(moments(checkpoint.read('visual.merger.mlp.0.bias')).std).toBeGreaterThan(0.3);
    expect(new Set(checkpoint.read('lm_head.weight'))).toEqual(new Set([-1]));
    checkpoint.close();
  });
});

describe('options', () => {
  test('equal seeds give equal bytes, other seeds other weights', async () => {
    const [a, b, c] = [await make({ seed: 5 }), await make({ seed: 5 }), await make({ seed: 6 })];
    expect(contents(a.dir)).toEqual(contents(b.dir));
    expect(a.read('lm_head.weight')).not.toEqual(c.read('lm_head.weight'));
    for (const checkpoint of [a, b, c]) checkpoint.close();
  });

  test('sharded or not, the weights are the same', async () => {
    const [one, many] = [await make(), await make({ maxShardBytes: 20_000 })];
    expect(readdirSync(one.dir)).toContain('model.safetensors');
    expect(readdirSync(many.dir).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(3);
    for (const name of one.tensors.keys()) expect(many.read(name), name).toEqual(one.read(name));
    one.close();
    many.close();
  });

  test('16-bit weights are the float32 ones rounded', async () => {
    const exact = await make();
    for (const [dtype, error] of [
      ['bfloat16', 2 ** -8],
      ['float16', 2 ** -10],
    ] as const) {
      const rounded = await make({ dtype });
      expect((await readConfig(rounded.dir)).raw.torch_dtype).toBe(dtype);
      let largest = 0;
      for (const name of exact.tensors.keys()) {
        const values = exact.read(name);
        const got = rounded.read(name);
        for (let i = 0; i < values.length; i++) {
          largest = Math.max(largest, Math.abs(got[i]! - values[i]!) / Math.max(1e-4, Math.abs(values[i]!)));
        }
      }
      expect(largest).toBeLessThanOrEqual(error);
      expect(largest).toBeGreaterThan(0);
      rounded.close();
    }
    exact.close();
  });

  test('a tied model has no head of its own', async () => {
    const checkpoint = await make({ sizes: { ...tiny, tieWordEmbeddings: true } });
    expect(checkpoint.tensors.has('lm_head.weight')).toBe(false);
    expect(validateShapes(checkpoint, await readConfig(checkpoint.dir))).toEqual({ extra: [] });
    checkpoint.close();
  });

  test('the mini preset', async () => {
    const checkpoint = await make({ sizes: MODEL_PRESETS.mini });
    const config = await readConfig(checkpoint.dir);
    expect(validateShapes(checkpoint, config)).toEqual({ extra: [] });
    const stored = [...checkpoint.tensors.values()].reduce((sum, { begin, end }) => sum + (end - begin) / 4, 0);
    expect(stored).toBe(parameterCount(config));
    checkpoint.close();
  });
});

describe('refused', () => {
  const at = async (options: Partial<RandomCheckpointOptions>): Promise<string> => {
    const dir = scratch();
    const error = await refusal(() =>
      writeRandomCheckpoint(join(dir, 'model'), { sizes: tiny, tokenizerDir, ...options }),
    );
    expect(readdirSync(dir)).toEqual([]);
    return shown(error);
  };

  test('impossible sizes, before anything is written', async () => {
    expect(await at({ sizes: { ...tiny, hiddenSize: 33 } })).toMatch(/hidden_size is 33/);
    expect(await at({ sizes: { ...tiny, numHiddenLayers: 1e9 } })).toMatch(/num_hidden_layers/);
    expect(await at({ sizes: { ...tiny, mropeSection: [1, 1, 1] } })).toMatch(/mrope_section sums to 3/);
  });

  test("a vocabulary smaller than the tokenizer's, a tokenizer of another model", async () => {
    expect(await at({ sizes: { ...tiny, vocabSize: 10 } })).toMatch(
      /E_TOKENIZER_INVALID.*the model's vocabulary has 10/,
    );
    const other = folderOf({ 'tokenizer.json': '{"added_tokens":[{"id":1,"content":"<|endoftext|>"}]}' });
    expect(await at({ tokenizerDir: other })).toMatch(/control token <\|im_end\|> is missing/);
    expect(await at({ tokenizerDir: folderOf({ 'tokenizer.json': '{}' }) })).toMatch(/added_tokens is not an array/);
    expect(await at({ tokenizerDir: scratch() })).toMatch(/E_FILE_MISSING.*tokenizer\.json/);
  });
});
