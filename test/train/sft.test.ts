/**
 * Whole supervised runs on a tiny random checkpoint: what they tell, train and leave behind, and which options must not
 * change the result.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readSftArguments } from '../../src/arguments/arguments.ts';
import { saysTied } from '../../src/checkpoint/head.ts';
import { readJsonFile } from '../../src/checkpoint/json_file.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import type { EndEvent, LogEvent, TrainEvent } from '../../src/train/events.ts';
import { runSft } from '../../src/train/sft.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { readWeights, type TinyProject, tinyProject, weightDifference, writeRows } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
let initial: ReadonlyMap<string, Float32Array>;
let answers: string;
/** What other ways of running are compared with; made by the first that asks. */
let base: SftRun | undefined;

const row = (i: number, answer?: string) => ({
  messages: [
    { role: 'user', content: `<image>which colour is shape ${i}?` },
    ...(answer === undefined ? [] : [{ role: 'assistant', content: answer }]),
  ],
  images: [`${i}.png`],
});

beforeAll(async () => {
  project = await tinyProject(root);
  initial = readWeights(project.model);
  answers = join(root, 'answers.jsonl');
  // Answers of unequal length: a mean of micro-batch means would be another loss.
  writeRows(
    answers,
    [0, 1, 2, 3, 4, 5].map((i) => row(i, i % 2 === 0 ? 'red' : 'It is a blue square, I think.')),
  );
});

interface SftRun {
  readonly folder: string;
  readonly events: readonly TrainEvent[];
  readonly logs: readonly LogEvent[];
  readonly end: EndEvent;
}

async function run(
  name: string,
  changes: Record<string, string | undefined> = {},
  onEvent: (event: TrainEvent) => void = () => undefined,
  signal = new AbortController().signal,
): Promise<SftRun> {
  const outputDir = join(root, 'runs', name);
  await mkdir(outputDir, { recursive: true });
  const flags: Record<string, string | undefined> = {
    model: project.model,
    dataset: answers,
    per_device_train_batch_size: '3',
    gradient_accumulation_steps: '2',
    max_steps: '4',
    learning_rate: '3e-3',
    lr_scheduler_type: 'constant',
    logging_steps: '1',
    dataset_shuffle: 'false',
    ...changes,
  };
  const words = Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}`, value]));
  const { args } = readSftArguments(words, {});
  const events: TrainEvent[] = [];
  const emit = (event: TrainEvent): void => {
    if (event.type === 'phase') return;
    events.push(event);
    onEvent(event);
  };
  await runSft(args, { signal, emit, outputDir, changed: {} });
  const end = events.at(-1)!;
  if (end.type !== 'end') throw new Error(`the last event is ${end.type}`);
  return { folder: outputDir, events, end, logs: events.filter((event) => event.type === 'log') };
}

const changed = (weights: ReadonlyMap<string, Float32Array>): string[] =>
  [...weights].filter(([name, values]) => values.some((x, i) => x !== initial.get(name)![i])).map(([name]) => name);

describe('a run', () => {
  test('lowers the loss, tells it in order, and saves what loads', async () => {
    const { folder, events, logs, end } = await run('plain', { max_steps: '12' });
    const loading = events.filter((event) => event.type === 'loading');
    expect(events.slice(0, loading.length)).toEqual(loading);
    expect(loading[0]).toMatchObject({ part: 'model', dir: project.model, done: 0 });
    expect(loading.at(-1)!.done).toBe(loading[0]!.total);
    expect(events[loading.length]).toMatchObject({
      type: 'start',
      command: 'sft',
      maxSteps: 12,
      data: { rows: 6, evalRows: 0 },
    });
    expect(logs.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(logs.at(-1)!.metrics.loss).toBeLessThan(logs[0]!.metrics.loss! - 0.5);
    const parts = ['data', 'forward', 'backward', 'update'].map((part) => `step_time/${part}`);
    expect(Object.keys(logs[0]!.metrics)).toEqual(['loss', 'grad_norm', ...parts, 'learning_rate']);
    expect(end).toMatchObject({ status: 'completed', step: 12, lastCheckpoint: join(folder, 'checkpoint-12') });
    expect(end.firstLog).toEqual(logs[0]!.metrics);
    expect(readdirSync(folder)).toEqual(['checkpoint-12']);
    const weights = readWeights(join(folder, 'checkpoint-12'));
    expect([...weights.keys()].sort()).toEqual([...initial.keys()].sort());
    expect(saysTied(readJsonFile(join(folder, 'checkpoint-12', 'config.json')))).toBe(true);
    expect(changed(weights).every((name) => !name.startsWith('visual.'))).toBe(true);
    const again = await run('reloaded', { model: join(folder, 'checkpoint-12'), max_steps: '1' });
    expect(again.logs[0]!.metrics.loss).toBeLessThan(logs.at(-1)!.metrics.loss! + 0.1);
  });

  test('trains the vision tower and its merger where they are not frozen', async () => {
    const { folder } = await run('tower', { freeze_vit: 'false', freeze_aligner: 'false', freeze_llm: 'true' });
    const names = changed(readWeights(join(folder, 'checkpoint-4')));
    expect(names.every((name) => name.startsWith('visual.'))).toBe(true);
    expect(names).toContain('visual.patch_embed.proj.weight');
    expect(names).toContain('visual.merger.mlp.2.bias');
  });

  test.each<[string, Record<string, string>]>([
    ['one row a micro-batch', { per_device_train_batch_size: '1', gradient_accumulation_steps: '6' }],
    ['all rows in one', { per_device_train_batch_size: '6', gradient_accumulation_steps: '1' }],
    ['residuals kept', { gradient_checkpointing: 'false' }],
    ['blocks recomputed', { gradient_checkpointing: 'true' }],
    ['flash attention', { attn_impl: 'flash_attention_2' }],
  ])('has the same numbers with %s', async (name, changes) => {
    // A large epsilon makes AdamW's step proportional to the gradient: where that is nothing but rounding, as of key biases,
    // its sign would decide the whole step.
    const smooth = { freeze_vit: 'false', adam_epsilon: '1', learning_rate: '0.1', max_grad_norm: '0' };
    base ??= await run('base', smooth);
    const other = await run(name, { ...smooth, ...changes });
    const { logs, folder } = base;
    logs.forEach(({ metrics }, i) => {
      expect(Math.abs(other.logs[i]!.metrics.loss! - metrics.loss!)).toBeLessThan(1e-5);
      expect(Math.abs(other.logs[i]!.metrics.grad_norm! / metrics.grad_norm! - 1)).toBeLessThan(1e-4);
    });
    const [a, b] = [folder, other.folder].map((dir) => readWeights(join(dir, 'checkpoint-4')));
    expect(weightDifference(a!, initial)).toBeGreaterThan(1e-3);
    expect(weightDifference(a!, b!)).toBeLessThan(1e-5);
  });

  test('visits every row once an epoch', async () => {
    const { logs, end } = await run('epochs', {
      max_steps: undefined,
      num_train_epochs: '2',
      per_device_train_batch_size: '2',
      gradient_accumulation_steps: '1',
      save_strategy: 'epoch',
    });
    expect(end.step).toBe(6);
    expect(logs.map(({ epoch }) => Number(epoch.toFixed(3)))).toEqual([0.333, 0.667, 1, 1.333, 1.667, 2]);
  });

  test('evaluates without training on it, and knows the best checkpoint', async () => {
    const { events, end } = await run('evaluated', {
      val_dataset: answers,
      eval_on_start: 'true',
      eval_strategy: 'steps',
      eval_steps: '2',
      save_steps: '2',
    });
    const evaluations = events.filter((event) => event.type === 'eval');
    expect(evaluations.map(({ step }) => step)).toEqual([0, 2, 4]);
    // The step trains on the same six rows, so its loss is that of the weights before it.
    const first = events.find((event) => event.type === 'log')!;
    expect(Math.abs(evaluations[0]!.metrics.loss! - first.metrics.loss!)).toBeLessThan(1e-5);
    expect(end.evalBefore).toEqual(evaluations[0]!.metrics);
    expect(end.bestMetric).toBe(Math.min(evaluations[1]!.metrics.loss!, evaluations[2]!.metrics.loss!));
  });

  test('stops after the step in which it is asked to, and saves', async () => {
    const controller = new AbortController();
    const stopAtTwo = (event: TrainEvent): void => {
      if (event.type === 'progress' && event.step === 2) controller.abort();
    };
    const { folder, end } = await run('stopped', {}, stopAtTwo, controller.signal);
    expect(end).toMatchObject({ status: 'interrupted', step: 2, lastCheckpoint: join(folder, 'checkpoint-2') });
    expect(existsSync(join(folder, 'checkpoint-2', 'optimizer.safetensors'))).toBe(true);
  });

  test('stops in the middle of an evaluation, and saves', async () => {
    const controller = new AbortController();
    const stopAtTwo = (event: TrainEvent): void => {
      if (event.type === 'log' && event.step === 2) controller.abort();
    };
    const evaluated = { val_dataset: answers, eval_strategy: 'steps', eval_steps: '2' };
    const { events, end, folder } = await run('stopped evaluating', evaluated, stopAtTwo, controller.signal);
    expect(end).toMatchObject({ status: 'interrupted', step: 2, lastCheckpoint: join(folder, 'checkpoint-2') });
    expect(events.some((event) => event.type === 'eval')).toBe(false);
  });

  test('that meets a broken picture keeps what it has learned', async () => {
    const dataset = join(root, 'broken.jsonl');
    writeRows(dataset, [0, 1, 2, 3].map((i) => row(i, 'red')).concat({ ...row(4, 'red'), images: ['broken.png'] }));
    writeFileSync(join(root, 'broken.png'), readFileSync(join(root, '0.png')).subarray(0, 60));
    const changes = { dataset, per_device_train_batch_size: '2', gradient_accumulation_steps: '1', save_steps: '100' };
    await expect(run('broken', changes)).rejects.toMatchObject({ exitCode: 2, where: `${dataset}:5` });
    const folder = join(root, 'runs', 'broken');
    expect(readdirSync(folder)).toEqual(['checkpoint-2']);
    const loop = JSON.parse(readFileSync(join(folder, 'checkpoint-2', 'loop_state.json'), 'utf8'));
    expect(loop.sampler).toMatchObject({ epoch: 0, position: 4 });
  });

  test('whose weights have diverged does not save them', async () => {
    const diverging = run('diverged', { learning_rate: '1e38', max_steps: '20' });
    await expect(diverging).rejects.toMatchObject({ code: 'E_DIVERGED', exitCode: 4 });
    expect(readdirSync(join(root, 'runs', 'diverged'))).toEqual([]);
  });

  describe('on a disk that refuses a save', () => {
    /** Puts a file in the place of the run's folder after some of the steps. */
    const refusing = (name: string, steps: readonly number[]) => {
      const folder = join(root, 'runs', name);
      return (event: TrainEvent): void => {
        if (event.type !== 'progress') return;
        if (existsSync(`${folder}.away`)) {
          rmSync(folder);
          renameSync(`${folder}.away`, folder);
        }
        if (!steps.includes(event.step)) return;
        renameSync(folder, `${folder}.away`);
        writeFileSync(folder, '');
      };
    };

    test('amid the run, it is told and the next save makes up for it', async () => {
      const { folder, events, end } = await run('refused', { save_steps: '1' }, refusing('refused', [2, 3]));
      expect(readdirSync(folder).sort()).toEqual(['checkpoint-1', 'checkpoint-4']);
      expect(end).toMatchObject({ status: 'completed', step: 4, lastCheckpoint: join(folder, 'checkpoint-4') });
      const notices = events.filter((event) => event.type === 'notice').map(({ text }) => text);
      expect(notices).toEqual([
        expect.stringMatching(
          /^step 2 could not be saved; the run continues until the next save: the folder cannot be written: /,
        ),
        expect.stringMatching(/^step 3 could not be saved; .*: part of the path is a file: choose another folder$/),
      ]);
    });

    test('after the last step, it ends the run, and is tried once', async () => {
      const events: TrainEvent[] = [];
      const refuse = refusing('refused at last', [4]);
      const failing = run('refused at last', {}, (event) => {
        events.push(event);
        refuse(event);
      });
      await expect(failing).rejects.toMatchObject({ code: 'E_SAVE_FAILED', exitCode: 1 });
      expect(events.filter((event) => event.type === 'notice')).toEqual([]);
    });
  });

  test('leaves what a later run needs: moments, counts, the place in the data', async () => {
    const { folder } = await run('state', { per_device_train_batch_size: '2', gradient_accumulation_steps: '1' });
    const dir = join(folder, 'checkpoint-4');
    const file = openSafetensors(join(dir, 'optimizer.safetensors'));
    const trained = [...initial.keys()].filter((name) => !name.startsWith('visual.'));
    expect([...file.entries.keys()].filter((name) => name.startsWith('m.')).sort()).toEqual(
      trained.map((name) => `m.${name}`).sort(),
    );
    expect(file.read('v.model.norm.weight').every((x) => x > 0)).toBe(true);
    expect(Object.fromEntries(file.metadata)).toMatchObject({ steps: '4', updates: '4' });
    file.close();
    const loop = JSON.parse(readFileSync(join(dir, 'loop_state.json'), 'utf8'));
    expect(loop.sampler).toMatchObject({ epoch: 1, position: 2 });
    const state = JSON.parse(readFileSync(join(dir, 'trainer_state.json'), 'utf8'));
    expect(state).toMatchObject({ global_step: 4, max_steps: 4 });
    expect(state.log_history).toHaveLength(4);
  });
});

describe('rows', () => {
  test('without an answer end a strict run before it begins', async () => {
    const dataset = join(root, 'unanswered.jsonl');
    writeRows(dataset, [row(0, 'red'), row(1), row(2, '')]);
    const events: TrainEvent[] = [];
    const failing = run('unanswered', { dataset }, (event) => void events.push(event));
    await expect(failing).rejects.toMatchObject({ code: 'E_ROW_NO_ANSWER', where: `${dataset}:2`, exitCode: 2 });
    expect(events).toEqual([]);
    const { events: told } = await run('tolerant', { dataset, strict: 'false', max_steps: '1' });
    expect(told.find(({ type }) => type === 'start')).toMatchObject({ data: { rows: 1, dropped: { 'no answer': 2 } } });
  });

  test('that are too long end the run or are passed over', async () => {
    const dataset = join(root, 'long.jsonl');
    writeRows(dataset, [row(0, 'red'), row(1, 'red '.repeat(60)), row(2, 'blue')]);
    const changes = { dataset, max_length: '60', per_device_train_batch_size: '3' };
    await expect(run('long', changes)).rejects.toMatchObject({ code: 'E_PROMPT_TOO_LONG', where: `${dataset}:2` });
    const { events, end, logs } = await run('passed over', { ...changes, truncation_strategy: 'delete' });
    expect(end.step).toBe(4);
    // Six rows a step, of three: rows that are passed over do not make an epoch shorter.
    expect(logs.map(({ epoch }) => epoch)).toEqual([2, 4, 6, 8]);
    expect(
      events.some((event) => event.type === 'notice' && /a row was skipped because it is longer/.test(event.text)),
    ).toBe(true);
    writeRows(dataset, [row(1, 'red '.repeat(60))]);
    const none = run('none left', { ...changes, truncation_strategy: 'delete' });
    await expect(none).rejects.toMatchObject({ code: 'E_DATASET_EMPTY' });
  });
});
