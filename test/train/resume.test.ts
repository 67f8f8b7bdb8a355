/**
 * A run that is resumed from any of its checkpoints ends with the bits of the run that was never stopped: weights, optimizer,
 * logs, completions.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { rlhf } from '../../src/cli/rlhf.ts';
import { sft } from '../../src/cli/sft.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  type FlagValues,
  pictureRow,
  readLines,
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
  // Equal within a group for every other row.
  writeFileSync(
    join(root, 'flat.ts'),
    `import { orms } from 'sightline';
orms.sometimes = class Sometimes {
  call(completions, { images }) {
    return completions.map((text, i) => (/[024].png/.test(JSON.stringify(images[i])) ? 1 : text.length));
  }
};
`,
  );
});

const COMMANDS = { rlhf, sft };
type Command = keyof typeof COMMANDS;

/** Columns that say when something happened, not what. */
const TIMES = new Set(['step_time', 'elapsed_time', 'remaining_time', 'memory(GiB)', 'train_speed(s/it)']);
const isTime = (name: string): boolean =>
  TIMES.has(name) || /^(eval_)?(runtime|samples_per_second)$/.test(name) || /_(seconds|time)$|^step_time\//.test(name);

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
    [
      'comparison with a blacked-out image',
      'rlhf',
      {
        ...{ perception_kl_coef: '0.05', perception_token_ratio: '0.4', perception_advantage_min: '0.5' },
        ...{ per_device_train_batch_size: '4', gradient_accumulation_steps: '2', num_iterations: '2' },
      },
      4,
      [1, 2],
    ],
    ['eager probe, cosine schedule', 'rlhf', { attn_probe: 'eager', lr_scheduler_type: 'cosine' }, 3, [2]],
    [
      'tokens of high entropy, a KL in the reward, two iterations',
      'rlhf',
      { top_entropy_quantile: '0.4', kl_in_reward: 'true', beta: '0.1', num_iterations: '2' },
      4,
      [1, 3],
    ],
    [
      'a reference that follows the policy',
      'rlhf',
      { sync_ref_model: 'true', ref_model_sync_steps: '2', beta: '0.1', freeze_vit: 'false' },
      5,
      [2, 3],
    ],
    [
      'an entropy bonus, two iterations, accumulation',
      'rlhf',
      {
        ...{ entropy_coef: '0.02', num_iterations: '2' },
        ...{ per_device_train_batch_size: '4', gradient_accumulation_steps: '2' },
      },
      4,
      [1, 2],
    ],
    [
      'a correction of the rollout, two iterations, a rollout over several steps',
      'rlhf',
      {
        ...{ rollout_importance_sampling_mode: 'token_truncate', num_iterations: '2', reuse_rollout: 'false' },
        ...{ per_device_train_batch_size: '4', steps_per_generation: '2' },
      },
      6,
      [1, 3],
    ],
    ['banned words of several tokens', 'rlhf', { bad_words: ['th', 'colour', 'incomprehensible'] }, 3, [1, 2]],
    [
      'dynamic sampling',
      'rlhf',
      { dynamic_sample: 'true', external_plugins: join(root, 'flat.ts'), reward_funcs: 'sometimes' },
      3,
      [1, 2],
    ],
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

test('a run that is stopped by a signal is resumed with the same bits', async () => {
  const flags = { max_steps: '5', save_steps: '100', logging_steps: '2', num_iterations: '2' };
  await run('rlhf', flagsOf('rlhf', join(root, 'not stopped'), flags));
  const stopping = new AbortController();
  const { io } = pretendIo({ signal: stopping.signal });
  io.stdout.on('data', (text: Buffer) => {
    if (/step 2\/5/.test(text.toString())) stopping.abort(new Error('SIGTERM'));
  });
  await rlhf(flagsOf('rlhf', join(root, 'stopped'), flags), io).catch(() => undefined);
  const folder = runFolder(join(root, 'stopped'));
  expect(existsSync(join(folder, 'checkpoint-5'))).toBe(false);
  await run('rlhf', [...flagsOf('rlhf', join(root, 'stopped'), flags), '--resume_from_checkpoint', 'last']);
  expectSame(runFolder(join(root, 'not stopped')), folder, 5);
});

describe('a checkpoint that does not fit is refused by name', () => {
  let whole: string;
  let adapter: string;
  beforeAll(async () => {
    await run('rlhf', flagsOf('rlhf', join(root, 'refused'), { max_steps: '2' }));
    whole = runFolder(join(root, 'refused'));
    await run('rlhf', flagsOf('rlhf', join(root, 'refused adapter'), { max_steps: '1', ...LORA }));
    adapter = runFolder(join(root, 'refused adapter'));
  });

  const resume = (from: string, changes: FlagValues = {}, command: Command = 'rlhf'): Promise<unknown> =>
    run(command, [
      ...flagsOf(command, join(root, 'unused'), { max_steps: '2', ...changes }),
      ...['--resume_from_checkpoint', from],
    ]);
  /** A copy of checkpoint-2, changed. */
  const changed = (name: string, change: (dir: string) => void): string => {
    const dir = join(root, `changed ${name}`, 'checkpoint-2');
    cpSync(join(whole, 'checkpoint-2'), dir, { recursive: true });
    change(dir);
    return dir;
  };

  const pictures = (): unknown[] => readLines(project.pictures);
  /** Replaces the rows of the dataset for as long as `use` runs. */
  async function withRows(rows: readonly unknown[], use: () => Promise<unknown>): Promise<unknown> {
    const text = readFileSync(project.pictures);
    writeRows(project.pictures, rows);
    return use().finally(() => writeFileSync(project.pictures, text));
  }
  /** A model that differs from the run's in the last byte of its file. */
  function otherBase(): string {
    const dir = join(root, 'other base');
    cpSync(project.model, dir, { recursive: true });
    const file = join(dir, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 4]! ^= 1;
    writeFileSync(file, bytes);
    return dir;
  }

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['no folder', () => resume(join(root, 'nowhere')), /E_RESUME_MISSING no such folder.*RUN\/checkpoint-N/s],
    ['the folder of a run', () => resume(whole), /E_RESUME_MISSING is the folder of a run.*checkpoint-2/s],
    [
      'one without optimizer',
      () => resume(changed('optimizer', (dir) => rmSync(join(dir, 'optimizer.safetensors')))),
      /E_RESUME_MISSING the optimizer state is missing.*--resume_only_model/s,
    ],
    [
      'one saved with --save_only_model',
      () => resume(changed('only model', (dir) => rmSync(join(dir, 'loop_state.json')))),
      /E_RESUME_MISSING .*no loop_state\.json.*--resume_only_model true and --ignore_data_skip true/s,
    ],
    [
      'a damaged state',
      () => resume(changed('state', (dir) => writeFileSync(join(dir, 'loop_state.json'), '{"format": 1, "comm'))),
      /E_RESUME_STATE the file is damaged/,
    ],
    [
      'another format',
      () => resume(changed('format', (dir) => writeFileSync(join(dir, 'loop_state.json'), '{"format": 99}'))),
      /E_RESUME_STATE the format is 99, expected 2/,
    ],
    [
      'another command',
      () => resume(join(whole, 'checkpoint-2'), {}, 'sft'),
      /E_RESUME_STATE the checkpoint was saved by sightline "rlhf"/,
    ],
    [
      'other data',
      () => resume(join(whole, 'checkpoint-2'), { dataset: project.texts, reward_funcs: ['letters'] }),
      /E_RESUME_ARGUMENTS .*--dataset was .*pictures.* and is .*texts/s,
    ],
    [
      'other rows in the same file',
      () => withRows(pictures().reverse(), () => resume(join(whole, 'checkpoint-2'))),
      /E_RESUME_DATASET --dataset has as many rows .*\(6\), but their contents or their order differ.*resume with the rows of the run/s,
    ],
    [
      'fewer rows in the same file',
      () => withRows(pictures().slice(1), () => resume(join(whole, 'checkpoint-2'))),
      /E_RESUME_DATASET --dataset has 5 rows, but the checkpoint was saved with 6/,
    ],
    [
      'another base of the same shapes, under a full run',
      () => resume(join(whole, 'checkpoint-2'), { model: otherBase() }),
      /E_RESUME_MODEL the weights of --model are not those that the run began with.*give the --model of the run/s,
    ],
    [
      'another base of the same shapes, under an adapter',
      () => resume(join(adapter, 'checkpoint-1'), { ...LORA, model: otherBase() }),
      /E_RESUME_MODEL the weights of --model are not those that the run began with/,
    ],
    [
      'a reference adapter that the run did not have',
      () =>
        resume(join(adapter, 'checkpoint-1'), { ...LORA, beta: '0.1', ref_adapters: [join(adapter, 'checkpoint-1')] }),
      /E_RESUME_MODEL the weights of --ref_adapters are not those that the run began with/,
    ],
    [
      'other groups',
      () => resume(join(whole, 'checkpoint-2'), { num_generations: '8' }),
      /E_RESUME_ARGUMENTS .*--num_generations was 4 and is 8/s,
    ],
    [
      'an adapter in a full run',
      () => resume(join(adapter, 'checkpoint-1')),
      /E_RESUME_ARGUMENTS .*--tuner_type was "lora" and is "full"/s,
    ],
    [
      'another rank',
      () => resume(join(adapter, 'checkpoint-1'), { ...LORA, lora_rank: '2' }),
      /E_RESUME_MODEL .*rank on \S+ is 4, that of the run 2/s,
    ],
    [
      'other targets',
      () => resume(join(adapter, 'checkpoint-1'), { ...LORA, target_modules: ['q_proj'] }),
      /E_RESUME_MODEL .*an adapter on \S+, which this run does not train/s,
    ],
    [
      'other trained parts',
      () => resume(join(whole, 'checkpoint-2'), { freeze_aligner: 'false' }),
      /E_RESUME_MODEL .*it has no "m\.\S*merger\S*", which belongs to what this run trains/s,
    ],
  ])('%s', async (_, attempt, expected) => {
    const error = await attempt().then(
      () => new Error('it went through'),
      (refusal: Error & { code?: string; hint?: string }) => refusal,
    );
    const { code, message, hint } = error as Error & { code?: string; hint?: string };
    expect(`${code} ${message} fix: ${hint}`).toMatch(expected);
    expect(existsSync(join(root, 'unused'))).toBe(false);
  });

  test('flags that compare with what the rollouts in it lack are named', async () => {
    const parent = join(root, 'kept');
    const kept = { num_iterations: '2', max_steps: '1' };
    await run('rlhf', flagsOf('rlhf', parent, kept));
    const checkpoint = join(runFolder(parent), 'checkpoint-1');
    const bytes = (): Buffer[] => ['logging.jsonl', 'args.json'].map((name) => bytesIn(runFolder(parent), name));
    const before = bytes();
    for (const [flag, value] of [
      ['beta', '0.1'],
      ['rollout_importance_sampling_mode', 'token_mask'],
      ['perception_kl_coef', '0.1'],
    ] as const) {
      const attempt = resume(checkpoint, { ...kept, max_steps: '2', [flag]: value });
      await expect(attempt).rejects.toMatchObject({
        code: 'E_RESUME_ARGUMENTS',
        exitCode: 2,
        message: expect.stringMatching(
          flag === 'perception_kl_coef' ? '--perception_image blackout needs' : `--${flag} ${value} needs`,
        ),
      });
    }
    expect(bytes()).toEqual(before);
  });

  test('other flags are named, and the run goes on', async () => {
    const copy = join(root, 'other rate');
    cpSync(whole, copy, { recursive: true });
    const words = flagsOf('rlhf', join(root, 'unused'), { max_steps: '3', learning_rate: '1e-3' });
    const { stdout } = await run('rlhf', [...words, '--resume_from_checkpoint', join(copy, 'checkpoint-2')]);
    expect(stdout).toMatch(/flags differ from those of the run.*--learning_rate was 0\.01 and is 0\.001/);
    expect(recordsOf(copy)).toHaveLength(4);
  });

  test('other rows of --val_dataset are named, and the run goes on', async () => {
    const val = join(root, 'val.jsonl');
    cpSync(project.texts, val);
    const flags = {
      max_steps: '1',
      reward_funcs: ['letters'],
      dataset: project.texts,
      val_dataset: val,
      eval_steps: '1',
    };
    await run('rlhf', flagsOf('rlhf', join(root, 'val'), flags));
    writeRows(val, readLines<object>(val).slice(1));
    const checkpoint = join(runFolder(join(root, 'val')), 'checkpoint-1');
    const words = flagsOf('rlhf', join(root, 'unused'), { ...flags, max_steps: '2' });
    const { stdout } = await run('rlhf', [...words, '--resume_from_checkpoint', checkpoint]);
    expect(stdout).toMatch(/--val_dataset has 5 rows, but .* with 6, so evaluations cannot be compared/);
  });

  test('only weights: a new optimizer, or with --ignore_data_skip a new run', async () => {
    const copy = join(root, 'only model');
    cpSync(whole, copy, { recursive: true });
    const from = ['--resume_from_checkpoint', join(copy, 'checkpoint-1'), '--resume_only_model', 'true'];
    await run('rlhf', [...flagsOf('rlhf', join(root, 'unused'), { max_steps: '2' }), ...from]);
    const [continued, original] = [copy, whole].map((folder) => recordsOf(folder)[1] as Record<string, number>);
    expect(continued!.reward).toBe(original!.reward); // the same weights and rows
    expect(
      bytesIn(copy, 'checkpoint-2', 'model.safetensors').equals(bytesIn(whole, 'checkpoint-2', 'model.safetensors')),
    ).toBe(false);
    const fresh = join(root, 'new run');
    await run('rlhf', [...flagsOf('rlhf', fresh, { max_steps: '1' }), ...from, '--ignore_data_skip', 'true']);
    expect(recordsOf(runFolder(fresh))).toHaveLength(2);
  });

  test('last: the newest run, or a new one', async () => {
    const parent = join(root, 'last');
    const words = (steps: string): string[] => [
      ...flagsOf('rlhf', parent, { max_steps: steps }),
      ...['--resume_from_checkpoint', 'last'],
    ];
    expect((await run('rlhf', words('1'))).stdout).toMatch(/has no checkpoint yet: a new run begins/);
    expect((await run('rlhf', words('2'))).stdout).toMatch(/resumed {2}from .*checkpoint-1/);
    expect(recordsOf(runFolder(parent))).toHaveLength(3);
  });

  test('last in a folder of its own: a run without a checkpoint begins anew', async () => {
    const folder = join(root, 'own folder');
    const words = [
      ...flagsOf('rlhf', folder, { max_steps: '1', add_version: 'false' }),
      ...['--resume_from_checkpoint', 'last'],
    ];
    mkdirSync(folder);
    writeFileSync(join(folder, 'args.json'), JSON.stringify({ _sightline: { command: 'rlhf' } }));
    writeFileSync(join(folder, 'logging.jsonl'), '{"loss": 1, "global_step/max_steps": "1/9"}\n');
    await run('rlhf', words);
    expect(recordsOf(folder)).toHaveLength(2);
    writeFileSync(join(folder, 'args.json'), '{}'); // of another program
    rmSync(join(folder, 'checkpoint-1'), { recursive: true });
    await expect(run('rlhf', words)).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS' });
  });

  test('a plugin that has changed is named', async () => {
    const copy = join(root, 'changed plugin');
    cpSync(whole, copy, { recursive: true });
    const plugin = join(root, 'letters.ts');
    const text = readFileSync(plugin, 'utf8');
    writeFileSync(plugin, `${text}// changed\n`);
    const words = flagsOf('rlhf', join(root, 'unused'), { max_steps: '3' });
    const { stdout } = await run('rlhf', [...words, '--resume_from_checkpoint', join(copy, 'checkpoint-2')]);
    writeFileSync(plugin, text);
    expect(stdout).toMatch(/letters\.ts: the file is not the one that the checkpoint was saved with/);
  });

  test('a run that another process has open is left alone', async () => {
    const copy = join(root, 'open');
    cpSync(whole, copy, { recursive: true });
    writeFileSync(join(copy, '.running'), JSON.stringify({ pid: process.ppid, host: hostname() }));
    await expect(resume(join(copy, 'checkpoint-1'))).rejects.toMatchObject({ code: 'E_OUTPUT_IN_USE' });
  });
});
