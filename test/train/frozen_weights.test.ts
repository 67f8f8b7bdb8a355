/**
 * Whole runs with --tuner_type lora over frozen weights that are quantised, held as stored, or left on disk; and what is refused.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readInferArguments, readScoreArguments } from '../../src/arguments/arguments.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { rlhf } from '../../src/cli/rlhf.ts';
import { SightlineError } from '../../src/errors.ts';
import { sizeOf } from '../../src/runtime/tensor.ts';
import { frozenForm } from '../../src/train/frozen_weights.ts';
import { openChat } from '../../src/train/infer.ts';
import { runScore } from '../../src/train/score.ts';
import { pretendIo } from '../cli/io.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { readTensors } from '../helpers/golden_values.ts';
import { type FlagValues, type TinyProject, tinyFlags, tinyProject, tinyRun } from '../helpers/tiny.ts';

const LORA = { tuner_type: 'lora', lora_rank: '2', lora_alpha: '4', lora_dropout: '0' };
const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root);
});
const run = (name: string, changes: FlagValues) => tinyRun(project, name, { ...LORA, beta: '0.04', ...changes });

test.each(['4', '8'])(
  'a run over weights of %s bits trains an adapter, with the reference over the same weights',
  async (bits) => {
    const { folder, logs } = await run(`bits${bits}`, { quant_bits: bits });
    expect(logs.length).toBeGreaterThan(0);
    for (const log of logs.filter(({ loss }) => loss !== undefined)) {
      expect(Number.isFinite(log.loss)).toBe(true);
      // The first update is on-policy and from the base model: no divergence from the reference beyond rounding.
      expect(Number.isFinite(log.grad_norm)).toBe(true);
    }
    const adapter = readTensors(join(folder, 'checkpoint-2', 'adapter_model.safetensors'));
    const trained = [...adapter].filter(
      ([name, { data }]) => name.includes('lora_B') && data.some((value) => value !== 0),
    );
    expect(trained.length).toBeGreaterThan(0);
  },
);

test('weights on disk train the adapter that weights in memory train', async () => {
  // Decoding multiplies in another order, so that rows of its own would be others to the last bits.
  const own = { reuse_rollout: 'false' };
  const [memory, disk] = [await run('memory', own), await run('disk', { ...own, weights_memory: '0' })];
  const [a, b] = [memory, disk].map(({ folder }) =>
    readTensors(join(folder, 'checkpoint-2', 'adapter_model.safetensors')),
  );
  expect(disk.completions.completion).toEqual(memory.completions.completion);
  for (const [name, { data }] of a!) expect(b!.get(name)!.data, name).toEqual(data);
});

describe('the form of frozen weights', () => {
  const { model } = goldenCheckpoints().find(({ name }) => name === 'qwen2_vl')!;
  const source = openCheckpoint(model);
  const form = (quantBits: 4 | 8 | null, weightsMemory: number | null) =>
    frozenForm(source.tensors, { quantBits, weightsMemory }, model);

  test('is float32 for what is small', () => {
    expect(form(null, null)).toEqual({ kind: 'float32' });
  });

  test('is as stored where float32 does not fit, and on disk where that does not fit', () => {
    const float32 = [...source.tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
    expect(form(null, float32)).toEqual({ kind: 'float32' });
    const held = form(null, float32 - 1);
    expect(held).toMatchObject({ kind: 'held', bits: null });
    if (held.kind !== 'held') throw new Error('expected held weights');
    expect(form(null, held.bytes)).toEqual(held);
    expect(form(null, held.bytes - 1)).toEqual({ kind: 'disk' });
  });

  test('is refused if quantised weights do not fit', () => {
    expect(() => form(8, 1000)).toThrow(SightlineError);
    expect(() => form(8, 1000)).toThrow('weights of 8 bits take 0.00 GiB, more than --weights_memory 0.00');
  });
});

test.each([
  [{ quant_bits: '3' }, 'quant_bits', 'expected 4 or 8, got 3'],
  [{ quant_bits: '4', tuner_type: 'full' }, 'quant_bits', 'given with --tuner_type full'],
  [{ weights_memory: '2', tuner_type: 'full' }, 'weights_memory', 'given with --tuner_type full'],
  [{ weights_memory: '-1' }, 'weights_memory', 'expected'],
  [{ quant_bits: '4', quant_method: 'bnb' }, 'quant_method', 'give --quant_bits 4 or 8'],
] as const)('%o is refused', async (changes, flag, text) => {
  const flags = tinyFlags(project, { ...LORA, ...changes });
  const error = await rlhf(flags, pretendIo().io).then(
    () => expect.fail('it was not refused'),
    (thrown: unknown) => thrown as SightlineError,
  );
  expect(error.exitCode).toBe(2);
  expect(`${error.where} ${error.message} ${error.hint}`).toContain(`--${flag}`);
  expect(`${error.message} ${error.hint}`).toContain(text);
});

describe('models that are not trained', () => {
  const { model, golden } = goldenCheckpoints().find(({ name }) => name === 'qwen2_vl')!;
  const source = openCheckpoint(model);
  const gib = (bytes: number): string => String(bytes / 2 ** 30);
  const float32 = [...source.tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  source.close();
  const image = join(golden, 'images', readdirSync(join(golden, 'images'))[0]!);

  async function score(name: string, ...words: string[]): Promise<{ logps: number[]; tdr: number }> {
    const [dataset, output] = [join(root, `${name}.jsonl`), join(root, `${name}-out.jsonl`)];
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'image', image },
          { type: 'text', text: 'What is it?' },
        ],
      },
    ];
    writeFileSync(dataset, `${JSON.stringify({ messages, completion_ids: [5, 9, 7, 12] })}\n`);
    const { args } = readScoreArguments(['--model', model, '--dataset', dataset, '--output', output, ...words], {});
    await runScore(args, { signal: new AbortController().signal, emit: () => undefined });
    return JSON.parse(readFileSync(output, 'utf8'));
  }

  test('score gives the same to the last bit in float32, in 16 bits and on disk, and nearly the same quantised', async () => {
    const plain = await score('plain');
    expect(await score('held', '--weights_memory', gib(float32 - 1))).toEqual(plain);
    expect(await score('disk', '--weights_memory', '0')).toEqual(plain);
    const [eight, four] = [await score('eight', '--quant_bits', '8'), await score('four', '--quant_bits', '4')];
    const errors = [eight, four].map(({ logps }) => largestDifference(logps, plain.logps));
    expect(errors[0]).toBeGreaterThan(0);
    // Steps of 8 bits are a sixteenth of those of 4.
    expect(errors[0]).toBeLessThan(errors[1]!);
  });

  test.each([
    ['in 16 bits', ['--weights_memory', gib(float32 - 1)]],
    ['on disk', ['--weights_memory', '0']],
  ])('infer answers the same over weights %s as in float32', async (_, words) => {
    const answers = [];
    for (const more of [[], words]) {
      const { args } = readInferArguments(['--model', model, '--max_new_tokens', '6', ...more], {});
      const chat = await openChat(args, { signal: new AbortController().signal, emit: () => undefined });
      answers.push(await chat.ask('What is it?', [image], () => undefined));
      await chat.close();
    }
    expect(answers[0]).not.toBe('');
    expect(answers[1]).toBe(answers[0]);
  });

  test('infer answers over quantised weights', async () => {
    const { args } = readInferArguments(['--model', model, '--max_new_tokens', '6', '--quant_bits', '4'], {});
    const chat = await openChat(args, { signal: new AbortController().signal, emit: () => undefined });
    expect(await chat.ask('What is it?', [image], () => undefined)).not.toBe('');
    await chat.close();
  });

  test.each([
    ['infer', () => readInferArguments(['--model', model, '--quant_bits', '5'], {})],
    [
      'score',
      () => readScoreArguments(['--model', model, '--dataset', image, '--output', 'x', '--quant_bits', '5'], {}),
    ],
  ])('%s refuses other numbers of bits', (_, read) => {
    expect(read).toThrow('expected 4 or 8, got 5');
  });
});
