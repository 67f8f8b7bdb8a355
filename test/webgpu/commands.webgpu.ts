/**
 * The commands with `--device webgpu`, against the same commands on the CPU: short runs over a tiny checkpoint, whole files.
 */
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { readInferArguments } from '../../src/arguments/arguments.ts';
import { score } from '../../src/cli/score.ts';
import { sft } from '../../src/cli/sft.ts';
import { openChat } from '../../src/train/infer.ts';
import { pretendIo } from '../cli/io.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  readLines,
  readRun,
  readWeights,
  runFolder,
  type TinyProject,
  tinyProject,
  tinyRun,
  weightDifference,
  writeRows,
} from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
/** Rows with an answer each. */
let answers: string;
beforeAll(async () => {
  project = await tinyProject(root, 4);
  answers = join(root, 'answers.jsonl');
  const texts = ['red', 'It is a blue square, I think.', 'green', 'two of them'];
  writeRows(
    answers,
    texts.map((text, i) => ({
      messages: [
        { role: 'user', content: `<image>which colour is shape ${i}?` },
        { role: 'assistant', content: text },
      ],
      images: [`${i}.png`],
    })),
  );
});

const DEVICES = ['cpu', 'webgpu'] as const;
/** What `make` returns on the CPU, then on the graphics processor. */
async function onBoth<T>(make: (device: string) => Promise<T>): Promise<[T, T]> {
  const [here, there] = [await make(DEVICES[0]), await make(DEVICES[1])];
  return [here, there];
}

const LEARNING_RATE = 1e-3;
const STEPS = 2;
/** Steps of AdamW move an element by the learning rate at most, whichever way: a gradient near 0 may have either sign. */
const MOST_APART = 2 * STEPS * LEARNING_RATE;
const TRAINING = {
  learning_rate: `${LEARNING_RATE}`,
  max_steps: `${STEPS}`,
  logging_steps: '1',
  lr_scheduler_type: 'constant',
};

/** The bounds of losses and gradients in the tests of models, relative. */
function expectAlike(there: Readonly<Record<string, unknown>>, here: Readonly<Record<string, unknown>>): void {
  for (const [name, bound] of [['loss', 1e-4] as const, ['grad_norm', 1e-3] as const]) {
    const [a, b] = [Number(there[name]), Number(here[name])];
    expect(Math.abs(a - b) / (Math.abs(b) + 0.1), name).toBeLessThan(bound);
  }
}

const checkpointOf = (folder: string): ReadonlyMap<string, Float32Array> =>
  readWeights(join(folder, `checkpoint-${STEPS}`));

test.each<Record<string, string>>([{}, { tuner_type: 'lora', lora_rank: '4', lora_alpha: '8' }])(
  'sft %o',
  async (flags) => {
    const [here, there] = await onBoth(async (device) => {
      const output = join(root, 'sft', Object.keys(flags).join('-'), device);
      const { io, text } = pretendIo();
      const all = {
        ...{ model: project.model, dataset: answers, per_device_train_batch_size: '2', output_dir: output, device },
        ...TRAINING,
        ...flags,
      };
      await sft(
        Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
        io,
      );
      if (device === 'webgpu') expect(text.stdout + text.stderr).toContain('runs on ');
      return readRun(runFolder(output));
    });
    expect(there.logs).toHaveLength(STEPS);
    for (const [i, record] of there.logs.entries()) expectAlike(record, here.logs[i]!);
    if ('tuner_type' in flags) return;
    const apart = weightDifference(checkpointOf(there.folder), checkpointOf(here.folder));
    expect(apart).toBeLessThan(MOST_APART);
  },
);

test('score', async () => {
  const [here, there] = await onBoth(async (device) => {
    const output = join(root, `scores-${device}.jsonl`);
    const { io } = pretendIo();
    await score(
      ['--model', project.model, '--dataset', answers, '--output', output, '--device', device, '--batch_size', '2'],
      io,
    );
    return readLines<{ completion_ids: number[]; logps: number[]; entropies: number[]; tdr: number }>(output);
  });
  expect(there).toHaveLength(4);
  for (const [i, row] of there.entries()) {
    expect(row.completion_ids).toEqual(here[i]!.completion_ids);
    expect(largestDifference(row.logps, here[i]!.logps)).toBeLessThan(1e-4);
    expect(largestDifference(row.entropies, here[i]!.entropies)).toBeLessThan(1e-4);
    expect(Math.abs(row.tdr / here[i]!.tdr - 1)).toBeLessThan(1e-5);
  }
});

test('infer: the likeliest answer, and where it looks', async () => {
  const [here, there] = await onBoth(async (device) => {
    const words = ['--model', project.model, '--max_new_tokens', '6', '--temperature', '0', '--device', device];
    const { args } = readInferArguments(words, {});
    const chat = await openChat(args, { signal: new AbortController().signal, emit: () => undefined });
    const answer = await chat.ask('which colour?', [join(root, '0.png')], () => undefined);
    const attention = await chat.attention();
    await chat.close();
    return { answer, attention };
  });
  expect(there.answer).toBe(here.answer);
  expect(there.answer).not.toBe('');
  expect(there.attention).not.toBeNull();
});

test('rlhf with every filter of draws: the first step is the CPU’s, and the run ends with a checkpoint', async () => {
  const filters = { top_k: '40', top_p: '0.95', min_p: '0.01', repetition_penalty: '1.05' };
  const [here, there] = await onBoth((device) =>
    tinyRun(project, `rlhf-${device}`, { ...TRAINING, ...filters, device, max_completion_length: '6' }),
  );
  const of = <T>(columns: Readonly<Record<string, T[]>>, name: string): T[] => columns[name]!.slice(0, 8);
  expect(of(there.completions, 'completion')).toEqual(of(here.completions, 'completion'));
  expectAlike(there.logs[0]!, here.logs[0]!);
  for (const name of ['reward', 'rewards/Letters/mean'])
    expect(Math.abs(there.logs[0]![name]! - here.logs[0]![name]!), name).toBeLessThan(1e-4);
  expect(there.logs).toHaveLength(STEPS);
  for (const name of ['loss', 'grad_norm']) expect(Number.isFinite(there.logs[1]![name]), name).toBe(true);
  const apart = weightDifference(checkpointOf(there.folder), checkpointOf(here.folder));
  expect(apart).toBeLessThan(MOST_APART);
});
