/**
 * Every argument of ms-swift's RLHFArguments and of transformers' TrainingArguments, as listed by ms_swift/make.py.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRlhfArguments, readSftArguments } from '../../src/arguments/arguments.ts';
import { asksForNothing, peerFlag, peerFlagNames } from '../../src/arguments/peers/index.ts';
import { rlhfWithRewards } from '../../src/arguments/reward_flags.ts';
import { formatError, SightlineError } from '../../src/errors.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import rlhfArguments from './ms_swift/rlhf_arguments.json' with { type: 'json' };
import trainingArguments from './ms_swift/training_arguments_5.24.json' with { type: 'json' };

interface Field {
  readonly type: string;
  readonly default: unknown;
  readonly choices?: readonly unknown[];
}

const msSwift: Readonly<Record<string, Field>> = rlhfArguments.fields;
const fields: Readonly<Record<string, Field>> = { ...trainingArguments.fields, ...msSwift };
const own = new Set(Object.entries(rlhfWithRewards().flags).flatMap(([name, { aliases = [] }]) => [name, ...aliases]));
const foreign = Object.keys(fields).filter((name) => !own.has(name));

const folder = temporaryFolder();
const data = join(folder, 'train.jsonl');
writeFileSync(data, '');
/** What must be said: the peer's defaults are another algorithm, another tuner, and nothing to train on. */
const required = {
  model: folder,
  dataset: [data],
  output_dir: join(folder, 'output'),
  reward_funcs: ['format'],
  rlhf_type: 'grpo',
  tuner_type: 'full',
  per_device_train_batch_size: 8,
};
const requiredWords = Object.entries(required).flatMap(([name, value]) => [`--${name}`, ...[value].flat().map(String)]);

const wordsOf = (value: unknown): string[] => {
  if (Array.isArray(value)) return value.length === 0 ? ['[]'] : value.map(String);
  return [value === null ? 'none' : typeof value === 'object' ? JSON.stringify(value) : String(value)];
};

function complaint(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof SightlineError) return formatError(error);
    throw error;
  }
  return 'no error';
}

test('the lists are of the versions that are claimed', () => {
  expect(rlhfArguments['made with']).toBe('ms-swift 4.6.0, transformers 5.19.0');
  expect(Object.keys(msSwift)).toHaveLength(481);
  expect(trainingArguments['made with']).toBe('transformers 5.24.0');
  expect(Object.keys(trainingArguments.fields)).toHaveLength(114);
});

describe('every argument is known', () => {
  test('by name', () => {
    expect(foreign.filter((name) => peerFlag(name) === null)).toEqual([]);
    expect(peerFlag('vllm_of_a_later_version')?.verdict).toBe('ignored');
    expect(peerFlag('num_generations')).toBeNull();
  });

  test.each(foreign)('%s has a text of its kind', (name) => {
    const { verdict, text } = peerFlag(name)!;
    expect(text).toMatch(/^[A-Za-z][^\n]{15,}[^.]$/);
    // What is refused says what to do.
    if (verdict === 'refused') {
      expect(text).toMatch(
        /leave it out|use |give |set |write |train |merge |add |put |ask |start |raise |register|--|upload/,
      );
    }
  });

  test('no name is listed twice, or for nothing', () => {
    const names = peerFlagNames();
    expect(new Set(names).size).toBe(names.length);
    // Of earlier versions and of ms-swift's other commands, which scripts still have; of torchrun; of the other engine.
    const others = [
      ...['engine_python', 'master_addr', 'master_port', 'nnodes', 'node_rank'],
      ...['infer_backend', 'load_in_4bit', 'load_in_8bit', 'merge_lora', 'nproc_per_node', 'overwrite_output_dir'],
      ...['pipeline_model_parallel_size', 'save_safetensors', 'tensor_model_parallel_size', 'use_lmdeploy'],
      'wandb_project',
    ];
    expect(names.filter((name) => !(name in fields)).toSorted()).toEqual(others.toSorted());
  });
});

describe('default values', () => {
  test.each(foreign.filter((name) => peerFlag(name)?.verdict === 'refused'))('--%s asks for nothing', (name) => {
    expect(asksForNothing(name, wordsOf(fields[name]!.default))).toBe(true);
  });

  test('what is on by default is not switched off in silence', () => {
    const on = foreign.filter((name) => fields[name]!.default === true && peerFlag(name)?.verdict === 'refused');
    expect(on.toSorted()).toEqual(['safe_serialization', 'train_dataloader_shuffle']);
    for (const name of on) expect(asksForNothing(name, ['false'])).toBe(false);
  });

  test('all together, in a file and as words, are taken, and told in one line', () => {
    const config = join(folder, 'swift.json');
    const values = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.default]));
    writeFileSync(config, JSON.stringify({ ...values, ...required }));
    for (const more of [[], ['--ignore_unsupported', 'true']]) {
      const { args, notices } = readRlhfArguments([config, ...more], {});
      expect(args).toMatchObject({
        rlhfType: 'grpo',
        lrSchedulerType: 'cosine',
        debug: false,
        maxCompletionLength: 512,
      });
      expect(notices).toHaveLength(1);
      expect(notices[0]).toMatch(/^\d+ flags have no effect here \(why: docs\/flags\.md\): --/);
    }
    const words = foreign.flatMap((name) => [`--${name}`, ...wordsOf(fields[name]!.default)]);
    const { notices } = readRlhfArguments([...requiredWords, ...words], {});
    expect(notices).toHaveLength(1);
  });
});

describe('--ignore_unsupported true', () => {
  test('covers every one, whatever its value, in one line', () => {
    const words = foreign.flatMap((name) => [`--${name}`, 'something']);
    expect(complaint(() => readRlhfArguments([...requiredWords, ...words], {}))).toContain(
      'arguments of sightline rlhf are wrong',
    );
    const { notices } = readRlhfArguments([...requiredWords, ...words, '--ignore_unsupported', 'true'], {});
    expect(notices).toHaveLength(2);
    for (const name of foreign) expect(notices.join(' ')).toMatch(new RegExp(`--${name}( |$)`));
  });

  test('covers values of flags that are here where a run is the same without them', () => {
    const words = ['--report_to', 'wandb', 'tensorboard', '--truncation_strategy', 'left'];
    const { args, notices } = readRlhfArguments([...requiredWords, ...words, '--ignore_unsupported'], {});
    expect(args).toMatchObject({ reportTo: ['tensorboard'], truncationStrategy: 'raise' });
    expect(notices).toEqual([
      '2 flags are ignored because of --ignore_unsupported (why: docs/flags.md): --report_to wandb --truncation_strategy left',
    ]);
    expect(
      complaint(() => readRlhfArguments([...requiredWords, '--lora_bias', 'all', '--ignore_unsupported'], {})),
    ).toContain('training the biases is not built');
  });

  test('is what errors say that it would help with, and no others', () => {
    const wrong = (...words: string[]) => complaint(() => readRlhfArguments([...requiredWords, ...words], {}));
    const way = '--ignore_unsupported true';
    expect(wrong('--use_vllm', 'true')).toContain(`or use ${way} to ignore it`);
    expect(wrong('--report_to', 'wandb')).toContain(`fix: use ${way} to ignore it`);
    expect(wrong('--use_vllm', 'true', '--beta', 'x')).toContain(`fix: ${way} ignores flags that only ms-swift`);
    expect(wrong('--beta', 'x', '--report_too', 'tensorboard')).not.toContain('ignore_unsupported');
  });

  test('is read from a file too, and false means no', () => {
    const config = join(folder, 'ignoring.json');
    writeFileSync(config, JSON.stringify({ ...required, deepspeed: 'zero3', ignore_unsupported: true }));
    expect(readRlhfArguments([config], {}).notices).toEqual([expect.stringContaining('--deepspeed is ignored')]);
    for (const no of ['false', '0', 'no'])
      expect(complaint(() => readRlhfArguments([config, '--ignore_unsupported', no], {}))).toContain('at: --deepspeed');
  });
});

test.each([
  ['--offload_optimizer', 'true', 'nothing is moved'],
  ['--use_cpu', 'true', 'one process on the CPU'],
  ['--load_best_model_at_end', 'true', 'the best checkpoint is always kept'],
  ['--optim', 'adamw_torch_fused', null],
  ['--metric_for_best_model', 'reward', null],
])('%s %s is taken', (flag, value, why) => {
  const { notices } = readRlhfArguments([...requiredWords, flag, value], {});
  expect(notices).toEqual(why === null ? [] : [expect.stringContaining(why)]);
});

test.each([
  ['--optim', 'adafactor', 'AdamW is the only optimiser'],
  ['--train_dataloader_shuffle', 'false', 'use --dataset_shuffle false'],
  ['--push_to_hub', 'true', 'stay on this machine'],
  ['--use_dora', 'true', 'only plain LoRA'],
])('%s %s is refused', (flag, value, advice) => {
  expect(complaint(() => readRlhfArguments([...requiredWords, flag, value], {}))).toContain(advice);
});

test('a name that means the same in ms-swift', () => {
  const { args } = readRlhfArguments([...requiredWords, '--max_new_tokens', '64'], {});
  expect(args.maxCompletionLength).toBe(64);
});

test("another command's flag is told as that", () => {
  const words = ['--model', folder, '--dataset', data, '--num_generations', '8'];
  const told = complaint(() => readSftArguments(words, {}));
  expect(told).toContain('this is a flag of sightline rlhf');
  expect(told).toContain('leave it out of sft');
  expect(readSftArguments([...words, '--ignore_unsupported'], {}).notices).toHaveLength(1);
});
