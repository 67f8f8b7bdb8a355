import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/open.ts';
import { type SaveOptions, saveCheckpoint } from '../../src/checkpoint/save.ts';
import { readConfig } from '../../src/models/registry.ts';
import { validateShapes } from '../../src/models/tensors.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { floatsFile, folderOf, refusal, scratch, shown } from './scratch.ts';

const goldens = goldenCheckpoints();

/** Saves and reopens; the source is closed. */
async function savedAs(source: Checkpoint, options: Omit<SaveOptions, 'source'>): Promise<Checkpoint> {
  const dir = join(scratch(), 'saved');
  await saveCheckpoint(dir, { source, ...options });
  return openCheckpoint(dir);
}

/** Largest difference to the source, relative to the larger of 1 and the value; tensors must be the same. */
function largestError(saved: Checkpoint, source: Checkpoint): number {
  expect([...saved.tensors.keys()].sort()).toEqual([...source.tensors.keys()].sort());
  let largest = 0;
  for (const [name, { shape, storedName }] of source.tensors) {
    expect(saved.tensors.get(name)).toMatchObject({ shape, storedName });
    const expected = source.read(name);
    const got = saved.read(name);
    for (let i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(got[i]! - expected[i]!) / Math.max(1e-3, Math.abs(expected[i]!)));
    }
  }
  return largest;
}

describe.each(goldens)('golden checkpoint $name', ({ model }) => {
  test('saved and reopened: equal in every dtype, config and files with it', async () => {
    const source = openCheckpoint(model);
    const bounds = { float32: 0, bfloat16: 2 ** -8, float16: 2 ** -11 };
    for (const dtype of [undefined, 'float32', 'bfloat16', 'float16'] as const) {
      const saved = await savedAs(source, { dtype });
      const error = largestError(saved, source);
      expect(error, dtype).toBeLessThanOrEqual(dtype === undefined ? 0 : bounds[dtype]);
      const config = await readConfig(saved.dir);
      expect(validateShapes(saved, config)).toEqual({ extra: [] });
      expect(config.text).toEqual((await readConfig(model)).text);
      const { torch_dtype, dtype: top, text_config: text } = config.raw;
      const stated = torch_dtype ?? top ?? (text as Record<string, unknown>).dtype;
      expect(stated).toBe(dtype ?? stated);
      if (dtype !== undefined) {
        expect(new Set([...saved.tensors.values()].map((tensor) => tensor.dtype)).size).toBe(1);
        expect(
          JSON.stringify(config.raw)
            .match(/dtype":"[a-z0-9]+/g)!
            .every((field) => field.endsWith(dtype)),
        ).toBe(true);
      }
      saved.close();
    }
    source.close();
  });

  test('the files around the weights are copied byte by byte', async () => {
    const source = openCheckpoint(model);
    const saved = await savedAs(source, {});
    const around = readdirSync(model).filter((name) => !name.includes('safetensors'));
    expect(readdirSync(saved.dir).sort()).toEqual([...around, 'model.safetensors'].sort());
    for (const name of around) {
      expect(readFileSync(join(saved.dir, name)).equals(readFileSync(join(model, name))), name).toBe(true);
    }
    saved.close();
    source.close();
  });

  test('shards with an index, each within the limit, equal again', async () => {
    const source = openCheckpoint(model);
    const limit = 200_000;
    const saved = await savedAs(source, { maxShardBytes: limit });
    const shards = readdirSync(saved.dir).filter((name) => name.endsWith('.safetensors'));
    expect(shards.length).toBeGreaterThan(2);
    expect(existsSync(join(saved.dir, 'model.safetensors'))).toBe(false);
    const bytesOf = new Map<string, number[]>();
    for (const { file, begin, end } of saved.tensors.values()) {
      bytesOf.set(file, [...(bytesOf.get(file) ?? []), end - begin]);
    }
    expect(bytesOf.size).toBe(shards.length);
    for (const sizes of bytesOf.values()) {
      if (sizes.length > 1) expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual(limit);
    }
    const index = JSON.parse(readFileSync(join(saved.dir, 'model.safetensors.index.json'), 'utf8'));
    const total = [...saved.tensors.values()].reduce((sum, { begin, end }) => sum + end - begin, 0);
    expect(index.metadata.total_size).toBe(total);
    expect(largestError(saved, source)).toBe(0);
    saved.close();
    source.close();
  });
});

describe('weights', () => {
  const config = (fields: object): string => JSON.stringify({ model_type: 'any', torch_dtype: 'float32', ...fields });
  const stored = floatsFile({ 'model.language_model.a': [3], 'model.visual.b': [2, 2], 'lm_head.weight': [2] });
  const small = (fields: object = {}): Checkpoint =>
    openCheckpoint(folderOf({ 'model.safetensors': stored, 'config.json': config(fields) }));

  test('new values replace the source; stored names stay nested', async () => {
    const source = small();
    const saved = await savedAs(source, {
      weights: (name) => (name === 'model.a' ? Float32Array.of(7, 8, 9) : undefined),
    });
    expect([...saved.read('model.a')]).toEqual([7, 8, 9]);
    expect([...saved.read('visual.b')]).toEqual([4, 5, 6, 7]);
    expect(saved.tensors.get('visual.b')!.storedName).toBe('model.visual.b');
    saved.close();
    source.close();
  });

  test.each([
    ['at the top', { tie_word_embeddings: true }],
    ['in text_config', { text_config: { tie_word_embeddings: true } }],
  ])('a head tied %s is not stored', async (_, fields) => {
    const source = small(fields);
    const saved = await savedAs(source, {});
    expect([...saved.tensors.keys()]).toEqual(['model.a', 'visual.b']);
    saved.close();
    source.close();
  });

  test('tensors larger than a chunk, in every dtype', async () => {
    const size = (1 << 21) + 3;
    const values = Float32Array.from({ length: size }, (_, i) => (i % 251) - 125);
    const source = openCheckpoint(
      folderOf({ 'model.safetensors': floatsFile({ big: [size] }), 'config.json': config({}) }),
    );
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const saved = await savedAs(source, { dtype, weights: () => values });
      expect(Buffer.compare(Buffer.from(saved.read('big').buffer), Buffer.from(values.buffer)), dtype).toBe(0);
      saved.close();
    }
    source.close();
  });

  test('what is not finite, or does not fit float16, does not reach the disk', async () => {
    const source = small();
    const dir = scratch();
    const save = (value: number, dtype?: 'float16') =>
      refusal(() =>
        saveCheckpoint(join(dir, 'out'), {
          source,
          dtype,
          weights: (name) => (name === 'model.a' ? Float32Array.of(1, value, 2) : undefined),
        }),
      );
    expect(shown(await save(Number.NaN))).toMatch(/E_WEIGHT_NOT_FINITE.*"model\.a" holds NaN.*diverged/);
    expect(shown(await save(Number.NEGATIVE_INFINITY))).toMatch(/holds -Infinity/);
    expect(shown(await save(70_000, 'float16'))).toMatch(/holds 70000, which F16 cannot store.*bfloat16/);
    expect(readdirSync(dir)).toEqual([]);
    source.close();
  });

  test('a value of the wrong length is our bug', async () => {
    const source = small();
    const saving = saveCheckpoint(join(scratch(), 'out'), { source, weights: () => new Float32Array(5) });
    await expect(saving).rejects.toThrow(/^internal: .* has 5 values/);
    source.close();
  });

  test('extra files are part of the whole', async () => {
    const source = small();
    const saved = await savedAs(source, {
      extra: async (folder) => writeFileSync(join(folder, 'trainer_state.json'), '{}'),
    });
    expect(existsSync(join(saved.dir, 'trainer_state.json'))).toBe(true);
    saved.close();
    const dir = scratch();
    const failing = saveCheckpoint(join(dir, 'out'), {
      source,
      extra: async () => {
        throw new Error('state lost');
      },
    });
    await expect(failing).rejects.toThrow('state lost');
    expect(readdirSync(dir)).toEqual([]);
    source.close();
  });
});

test('killed at any point, the name stands for a whole checkpoint or for nothing', async () => {
  const { model } = goldens.find(({ name }) => name === 'nested_tied') ?? goldens[0]!;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const script = `
    import { createJiti } from 'jiti';
    const jiti = createJiti(${JSON.stringify(join(root, 'test/'))});
    const { openCheckpoint } = await jiti.import(${JSON.stringify(join(root, 'src/checkpoint/open.ts'))});
    const { saveCheckpoint } = await jiti.import(${JSON.stringify(join(root, 'src/checkpoint/save.ts'))});
    const source = openCheckpoint(${JSON.stringify(model)});
    for (let i = 0; ; i++) {
      await saveCheckpoint(process.argv[1] + '/checkpoint-' + i, { source, maxShardBytes: 50000 });
      process.stdout.write('saved');
    }
  `;
  const source = openCheckpoint(model);
  let leftovers = 0;
  let whole = 0;
  for (const delay of [0, 3, 7, 12, 20]) {
    const dir = scratch();
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir], { cwd: root });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, delay));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    for (const name of readdirSync(dir)) {
      if (!name.startsWith('checkpoint-')) {
        leftovers++;
        continue;
      }
      const saved = openCheckpoint(join(dir, name));
      expect(largestError(saved, source)).toBe(0);
      validateShapes(saved, await readConfig(saved.dir));
      saved.close();
      whole++;
    }
  }
  // Both kinds must have been seen, or the test proves nothing.
  expect(leftovers).toBeGreaterThan(0);
  expect(whole).toBeGreaterThan(0);
  source.close();
});
