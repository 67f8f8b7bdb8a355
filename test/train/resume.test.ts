/**
 * A run that is resumed from any of its checkpoints ends with the bits of the run that was never stopped: weights, optimizer,
 * logs, completions.
 */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { rlhf } from '../../src/cli/rlhf.ts';
import { sft } from '../../src/cli/sft.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  type FlagValues,
  pictureRow,
  runFolder,
  type TinyProject,
  tinyFlags,
  tinyProject,
  writeRows,
} from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root, 6);
  const answered = Array.from({ length: 6 }, (_, i) => {
    const { messages, images } = pictureRow(`${i}.png`, `which colour is shape ${i}?`);
    return { messages: [...messages, { role: 'assistant', content: ['red', 'dark blue', 'green'][i % 3] }], images };
  });
  writeRows(join(root, 'answered.jsonl'), answered);
});

const COMMANDS = { rlhf, sft };
type Command = keyof typeof COMMANDS;

/** Columns that say when something happened, not what. */
const TIMES = new Set(['step_time', 'elapsed_time', 'remaining_time', 'memory(GiB)', 'train_speed(s/it)']);
const isTime = (name: string): boolean =>
  TIMES.has(name) || /^(eval_)?(runtime|samples_per_second)$/.test(name) || /_(seconds|time)$/.test(name);

/** The records of logging.jsonl without times, and without the last one, which has paths. */
function recordsOf(folder: string): unknown[] {
  const lines = readFileSync(join(folder, 'logging.jsonl'), 'utf8').trimEnd().split('\n');
  const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const withoutTimes = (record: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(record).filter(([name]) => !isTime(name)));
  const { log_history: history, status, best_metric: best } = records.at(-1)!;
  const last = { history: (history as Record<string, unknown>[]).map(withoutTimes), status, best };
  return [...records.slice(0, -1).map(withoutTimes), last];
}

const bytesIn = (...path: string[]): Buffer => readFileSync(join(...path));

function expectSame(there: string, here: string, last: number): void {
  expect(recordsOf(here)).toEqual(recordsOf(there));
  const completions = 'completions.jsonl';
  if (existsSync(join(there, completions))) {
    expect(bytesIn(here, completions).toString()).toBe(bytesIn(there, completions).toString());
  }
  const checkpoint = `checkpoint-${last}`;
  for (const name of readdirSync(join(there, checkpoint)).filter((each) => each.endsWith('.safetensors'))) {
    const same = bytesIn(here, checkpoint, name).equals(bytesIn(there, checkpoint, name));
    expect(same, `${checkpoint}/${name}`).toBe(true);
  }
}

const flagsOf = (command: Command, output: string, changes: FlagValues): string[] => {
  const grpoOnly = command === 'rlhf' ? {} : { ...NOT_IN_SFT, dataset: join(root, 'answered.jsonl') };
  return tinyFlags(project, { output_dir: output, save_steps: '1', save_total_limit: '9', ...grpoOnly, ...changes });
};

const NOT_IN_SFT: FlagValues = {
  external_plugins: undefined,
  reward_funcs: undefined,
  num_generations: undefined,
  max_completion_length: undefined,
  temperature: undefined,
  beta: undefined,
  log_completions: undefined,
  per_device_train_batch_size: '2',
};

async function run(command: Command, words: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const { io, text } = pretendIo({});
  await COMMANDS[command](words, io);
  return text;
}

const LORA: FlagValues = { tuner_type: 'lora', lora_rank: '4', learning_rate: '1e-2' };

describe('resumed runs end with the same bits', () => {
  test.each<[string, Command, FlagValues, number, readonly number[]]>([
    ['full, sampled rows reused', 'rlhf', {}, 4, [1, 3]],
    [
      'in mid-epoch, with evaluations and a best checkpoint',
      'rlhf',
      {
        split_dataset_ratio: '0.34',
        eval_steps: '2',
        logging_steps: '3',
        save_total_limit: '2',
        per_device_train_batch_size: '4',
      },
      5,
      [4],
    ],
    [
      'gradient accumulation and two iterations',
      'rlhf',
      { per_device_train_batch_size: '4', gradient_accumulation_steps: '2', num_iterations: '2', logging_steps: '2' },
      5,
      [1, 2, 3],
    ],
    [
      'a rollout over several steps, with a reference',
      'rlhf',
      { per_device_train_batch_size: '4', gradient_accumulation_steps: '1', steps_per_generation: '4', beta: '0.1' },
      6,
      [1, 3],
    ],
    ['LoRA with dropout', 'rlhf', { ...LORA, lora_dropout: '0.2', beta: '0.1' }, 3, [1]],
    [
      'LoRA, a trained tower',
      'rlhf',
      { ...LORA, freeze_vit: 'false', freeze_aligner: 'false', num_iterations: '2' },
      4,
      [1],
    ],
    ['eager probe, cosine schedule', 'rlhf', { attn_probe: 'eager', lr_scheduler_type: 'cosine' }, 3, [2]],
    ['sft', 'sft', { logging_steps: '2' }, 4, [1, 3]],
    ['sft with LoRA', 'sft', { ...LORA, lora_dropout: '0.1' }, 3, [2]],
  ])('%s', async (name, command, changes, last, points) => {
    const parent = join(root, name);
    const flags = (output: string): string[] => flagsOf(command, output, { max_steps: String(last), ...changes });
    await run(command, flags(parent));
    const whole = runFolder(parent);
    for (const point of points) {
      if (!existsSync(join(whole, `checkpoint-${point}`))) throw new Error(`no checkpoint-${point}`);
      const copy = join(root, `${name} from ${point}`);
      cpSync(whole, copy, { recursive: true });
      writeFileSync(join(copy, 'logging.jsonl'), readFileSync(join(copy, 'logging.jsonl'), 'utf8').slice(0, -7));
      for (let later = point + 1; later <= last; later++) {
        rmSync(join(copy, `checkpoint-${later}`), { recursive: true, force: true });
      }
      const words = flags(join(root, 'unused'));
      const { stdout } = await run(command, [...words, '--resume_from_checkpoint', join(copy, `checkpoint-${point}`)]);
      expect(stdout).toContain(`resumed  from ${join(copy, `checkpoint-${point}`)}`);
      expectSame(whole, copy, last);
      rmSync(copy, { recursive: true });
    }
  });
});
