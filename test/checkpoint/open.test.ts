import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { bytesHeld, loadParameters, streamParameters } from '../../src/engine/parameters.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { floatsFile, folderOf, refusal, safetensorsBytes, scratch, shown } from './scratch.ts';

const index = (weightMap: unknown): string => JSON.stringify({ metadata: {}, weight_map: weightMap });
const INDEX = 'model.safetensors.index.json';

describe.each(goldenCheckpoints())('golden checkpoint $name', ({ model }) => {
  /** Every tensor by a plain reading of the files: JSON.parse, whole file, arithmetic by definition. */
  function plainReading(): Map<string, { dtype: string; shape: number[]; values: Float32Array }> {
    const tensors = new Map<string, { dtype: string; shape: number[]; values: Float32Array }>();
    const dir = openCheckpoint(model);
    const files = new Set([...dir.tensors.values()].map(({ file }) => file));
    dir.close();
    for (const file of files) {
      const bytes = readFileSync(file);
      const length = Number(bytes.readBigUInt64LE(0));
      const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
        bytes.toString('utf8', 8, 8 + length),
      );
      for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
        if (name === '__metadata__') continue;
        const data = bytes.subarray(8 + length + offsets[0], 8 + length + offsets[1]);
        const width = dtype === 'BF16' ? 2 : 4;
        const values = Float32Array.from({ length: data.length / width }, (_, i) => {
          if (dtype === 'F32') return data.readFloatLE(4 * i);
          const word = Buffer.from([0, 0, data[2 * i]!, data[2 * i + 1]!]);
          return word.readFloatLE(0);
        });
        tensors.set(name, { dtype, shape, values });
      }
    }
    return tensors;
  }

  test('every tensor: name, dtype, shape, values', () => {
    const plain = plainReading();
    const checkpoint = openCheckpoint(model);
    const stored = [...checkpoint.tensors.values()].map(({ storedName }) => storedName);
    expect(stored.sort()).toEqual([...plain.keys()].sort());
    for (const [name, stored] of checkpoint.tensors) {
      const expected = plain.get(stored.storedName)!;
      expect({ name, dtype: stored.dtype, shape: stored.shape }).toEqual({
        name,
        dtype: expected.dtype,
        shape: expected.shape,
      });
      const values = checkpoint.read(name);
      expect(Buffer.compare(Buffer.from(values.buffer), Buffer.from(expected.values.buffer)), name).toBe(0);
      expect(checkpoint.readRaw(name).length).toBe(stored.end - stored.begin);
    }
    checkpoint.close();
  });
});

describe('weights that are no numbers are refused where they are read', () => {
  test.each([
    ['F32', 4, [0x7fc00000, 0xff800000], 'NaN'],
    ['F32', 4, [0xff800000, 0x7fc00000], '-Infinity'],
    ['BF16', 2, [0x7f80, 0x7fc0], 'Infinity'],
    ['F16', 2, [0x7e00, 0x7c00], 'NaN'],
  ] as const)('%s', async (dtype, width, bad, value) => {
    const words = width === 4 ? new Uint32Array(6) : new Uint16Array(6);
    words.set(bad, 3);
    const header = JSON.stringify({ 'model.a': { dtype, shape: [2, 3], data_offsets: [0, 6 * width] } });
    const dir = folderOf({ 'model.safetensors': safetensorsBytes(header, new Uint8Array(words.buffer)) });
    const checkpoint = openCheckpoint(dir);
    expect(checkpoint.readRaw('model.a').length).toBe(6 * width);
    checkpoint.readInto('model.a', new Float32Array(3));
    const calls = [
      () => checkpoint.read('model.a'),
      () => checkpoint.readInto('model.a', new Float32Array(3), 2),
      () => loadParameters(checkpoint, () => false),
      () => streamParameters(checkpoint),
    ];
    for (const call of calls) {
      const error = await refusal(call);
      expect(error).toMatchObject({
        code: 'E_WEIGHT_NOT_FINITE',
        exitCode: 2,
        where: join(dir, 'model.safetensors'),
        message: `tensor "model.a" holds ${value} at element 3, expected finite numbers`,
      });
    }
    checkpoint.close();
  });

  test('a streamed one when its layer runs', async () => {
    const name = 'model.layers.1.mlp.up_proj.weight';
    const header = JSON.stringify({ [name]: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } });
    const words = Uint32Array.of(0, 0x7fc00000);
    const checkpoint = openCheckpoint(
      folderOf({ 'model.safetensors': safetensorsBytes(header, new Uint8Array(words.buffer)) }),
    );
    const streamed = await streamParameters(checkpoint);
    expect(await refusal(() => streamed.value(name))).toMatchObject({ code: 'E_WEIGHT_NOT_FINITE' });
    checkpoint.close();
  });
});

test('reading tells how far it is, in bytes as stored, from 0 to all', async () => {
  const header = JSON.stringify({
    'model.norm.weight': { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
    'model.layers.1.mlp.up_proj.weight': { dtype: 'BF16', shape: [2], data_offsets: [8, 12] },
  });
  const checkpoint = openCheckpoint(folderOf({ 'model.safetensors': safetensorsBytes(header, new Uint8Array(12)) }));
  const all: number[][] = [];
  await loadParameters(checkpoint, () => false, { onRead: ({ done, total }) => void all.push([done, total]) });
  expect(all).toEqual([
    [0, 12],
    [8, 12],
    [12, 12],
  ]);
  const kept: number[][] = [];
  await streamParameters(checkpoint, ({ done, total }) => void kept.push([done, total]));
  expect(kept).toEqual([
    [0, 8],
    [8, 8],
  ]);
  checkpoint.close();
});

test('streamed weights take the memory of one layer and of what belongs to none', () => {
  const tensors = new Map<string, { shape: number[] }>([['model.norm.weight', { shape: [2] }]]);
  for (const layer of [0, 1, 2]) tensors.set(`model.layers.${layer}.mlp.up_proj.weight`, { shape: [2, 3] });
  expect(bytesHeld(tensors, false)).toBe(4 * (2 + 3 * 6));
  expect(bytesHeld(tensors, true)).toBe(4 * (2 + 6));
});

describe('names', () => {
  test('the nested layout is translated, and read under its canonical names', () => {
    const dir = folderOf({
      'model.safetensors': floatsFile({
        'model.language_model.layers.0.mlp.up_proj.weight': [1],
        'model.visual.merger.ln_q.weight': [1],
        'lm_head.weight': [1],
      }),
    });
    const checkpoint = openCheckpoint(dir);
    expect([...checkpoint.tensors.values()].map(({ name, storedName }) => [name, storedName])).toEqual([
      ['model.layers.0.mlp.up_proj.weight', 'model.language_model.layers.0.mlp.up_proj.weight'],
      ['visual.merger.ln_q.weight', 'model.visual.merger.ln_q.weight'],
      ['lm_head.weight', 'lm_head.weight'],
    ]);
    expect([...checkpoint.read('visual.merger.ln_q.weight')]).toEqual([2]);
    const part = new Float32Array(1);
    checkpoint.readInto('lm_head.weight', part);
    expect([...part]).toEqual([3]);
    checkpoint.close();
  });

  test('one tensor under two spellings is refused', async () => {
    const dir = folderOf({ 'model.safetensors': floatsFile({ 'visual.x': [1], 'model.visual.x': [1] }) });
    expect(shown(await refusal(() => openCheckpoint(dir)))).toMatch(
      /"model\.visual\.x" is also in .*there as "visual\.x"/,
    );
  });

  test('a tensor that is not there', async () => {
    const checkpoint = openCheckpoint(folderOf({ 'model.safetensors': floatsFile({ a: [1] }) }));
    expect(shown(await refusal(() => checkpoint.read('b')))).toMatch(/E_TENSOR_MISSING.*"b" is missing/);
    checkpoint.close();
  });
});

describe('a folder without a checkpoint', () => {
  test('no folder, a file, no weights, weights of another kind', async () => {
    const at = async (dir: string): Promise<string> => shown(await refusal(() => openCheckpoint(dir)));
    expect(await at(join(scratch(), 'no'))).toMatch(/E_CHECKPOINT_MISSING.*folder not found/);
    expect(await at(join(folderOf({ file: '' }), 'file'))).toMatch(/not a folder/);
    expect(await at(scratch())).toMatch(/neither model\.safetensors nor/);
    expect(await at(folderOf({ 'pytorch_model.bin': '' }))).toMatch(/pytorch_model\.bin cannot be read/);
  });

  test('what is there instead decides what is said', async () => {
    const at = async (...names: string[]): Promise<string> =>
      shown(await refusal(() => openCheckpoint(folderOf(Object.fromEntries(names.map((name) => [name, '']))))));
    expect(await at('checkpoint-9/x', 'checkpoint-10/x', 'args.json')).toMatch(/give one of .*checkpoint-10$/);
    expect(await at('model-00001-of-00002.safetensors')).toMatch(
      /model-00001-of-00002\.safetensors is there, but the other files/,
    );
    expect(await at('pytorch_model-00001-of-00002.bin')).toMatch(/save_pretrained\(\), which writes safetensors/);
  });

  test('integer weights are no weights', async () => {
    const bytes = safetensorsBytes('{"q":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1);
    const checkpoint = openCheckpoint(folderOf({ 'model.safetensors': bytes }));
    const error = await refusal(() => checkpoint.read('q'));
    expect(shown(error)).toMatch(/E_TENSOR_DTYPE.*"q" has dtype I8.*model\.safetensors/);
    checkpoint.close();
  });

  test('float64 is rounded to float32, and refused beyond its range', async () => {
    const doubles = Float64Array.of(0.1, -1e-50, 16777217, 1e300, Number.NaN);
    const header = JSON.stringify({ w: { dtype: 'F64', shape: [5], data_offsets: [0, 40] } });
    const file = safetensorsBytes(header, new Uint8Array(doubles.buffer));
    const checkpoint = openCheckpoint(folderOf({ 'model.safetensors': file }));
    const three = new Float32Array(3);
    checkpoint.readInto('w', three);
    // torch.tensor([0.1, -1e-50, 16777217], dtype=torch.float64).to(torch.float32)
    expect([...three]).toEqual([0.10000000149011612, -0, 16777216]);
    const last = (count: number) => refusal(() => checkpoint.readInto('w', new Float32Array(count), 5 - count));
    expect(shown(await last(2))).toMatch(/"w" holds 1e\+300 at element 3, expected finite numbers of float32/);
    expect(shown(await last(1))).toMatch(/"w" holds NaN at element 4, expected finite numbers \|/);
    checkpoint.close();
  });
});

describe('sharded index', () => {
  const a = floatsFile({ a: [1] });
  const b = floatsFile({ b: [2] });
  const open = (weightMap: unknown, files: Record<string, Uint8Array> = { 'a.safetensors': a, 'b.safetensors': b }) =>
    openCheckpoint(folderOf({ ...files, [INDEX]: index(weightMap) }));

  test('two shards', () => {
    const checkpoint = open({ b: 'b.safetensors', a: 'a.safetensors' });
    expect([...checkpoint.read('a'), ...checkpoint.read('b')]).toEqual([1, 1, 2]);
    checkpoint.close();
  });

  test('a single file comes first, as in transformers', () => {
    const dir = folderOf({ 'model.safetensors': a, [INDEX]: index({ b: 'missing.safetensors' }) });
    const checkpoint = openCheckpoint(dir);
    expect([...checkpoint.tensors.keys()]).toEqual(['a']);
    checkpoint.close();
  });

  test.each([
    '../x.safetensors',
    '/etc/x.safetensors',
    'C:\\x.safetensors',
    'sub/x.safetensors',
    '..\\x.safetensors',
    '..',
    '.safetensors',
    'a.bin',
    'a\u0000.safetensors',
    '',
    7,
    null,
    ['a.safetensors'],
  ])('shard name %j is refused', async (shard) => {
    const error = await refusal(() => open({ a: shard }));
    expect(error.code).toBe('E_CHECKPOINT_INVALID');
    expect(error.where).toMatch(/index\.json$/);
    expect(error.message).toMatch(/tensor "a"/);
  });

  test('missing, truncated and contradictory shards are named', async () => {
    const at = async (...args: Parameters<typeof open>): Promise<string> => shown(await refusal(() => open(...args)));
    expect(await at({ a: 'a.safetensors', c: 'c.safetensors' })).toMatch(/E_SHARD_MISSING.*c\.safetensors is missing/);
    expect(await at({ a: 'a.safetensors' }, { 'a.safetensors': a.subarray(0, a.length - 1) })).toMatch(
      /cut off.*a\.safetensors/,
    );
    expect(await at({ a: 'a.safetensors', c: 'b.safetensors' })).toMatch(/tensor "c" is not in shard b\.safetensors/);
    const twice = { 'a.safetensors': a, 'b.safetensors': floatsFile({ a: [1], b: [2] }) };
    expect(await at({ a: 'a.safetensors', b: 'b.safetensors' }, twice)).toMatch(
      /tensor "a" is also in .*a\.safetensors.*b\.safetensors/,
    );
  });

  test('an index that is none', async () => {
    for (const [text, expected] of [
      ['{"weight_map":', /not valid JSON/],
      ['[]', /expected a JSON object/],
      ['{}', /weight_map is nothing/],
      ['{"weight_map":[]}', /weight_map is an array/],
      ['{"weight_map":{}}', /weight_map is empty/],
      ['{"weight_map":{"__proto__":"x.safetensors"}}', /x\.safetensors is missing/],
    ] as const) {
      expect(shown(await refusal(() => openCheckpoint(folderOf({ [INDEX]: text }))))).toMatch(expected);
    }
  });
});
