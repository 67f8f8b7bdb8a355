/**
 * `sightline rlhf --engine ms-swift`: flags of ms-swift among ours, and flags that only one engine has.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { engineNamed, pluginsNamed, readMsSwiftArguments, readRlhfArguments } from '../../src/arguments/arguments.ts';
import { msSwiftNames } from '../../src/arguments/peers/index.ts';
import { formatError, SightlineError } from '../../src/errors.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { swiftFixtures } from '../ms_swift/fixtures.ts';
import rlhfArguments from './ms_swift/rlhf_arguments.json' with { type: 'json' };

const folder = temporaryFolder();
const { words: required } = swiftFixtures(folder);
const read = (...words: string[]) => readMsSwiftArguments([...required, ...words], {});

function complaint(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof SightlineError) return formatError(error);
    throw error;
  }
  return 'no error';
}

/** Without --engine and --engine_python. */
const ownWords = required.slice(4);

describe('flags of ms-swift', () => {
  test('that are handed on are those that it has', () => {
    expect([...msSwiftNames()].filter((name) => !(name in rlhfArguments.fields))).toEqual([]);
  });

  test('are taken with their words, and kept for args.json', () => {
    const { handedOn, json, changed } = read(
      '--deepspeed',
      'zero2',
      '--use_vllm',
      '--lora_ga_iters=16',
      '--optim_target_modules',
      'a',
      'b',
    );
    expect([...handedOn]).toEqual([
      ['deepspeed', ['zero2']],
      ['use_vllm', []],
      ['lora_ga_iters', ['16']],
      ['optim_target_modules', ['a', 'b']],
    ]);
    expect(json).toMatchObject({
      deepspeed: 'zero2',
      use_vllm: 'true',
      lora_ga_iters: '16',
      optim_target_modules: ['a', 'b'],
    });
    expect(changed).toMatchObject({ deepspeed: 'zero2' });
  });

  test('come back from a file of arguments', () => {
    const config = join(folder, 'again.json');
    const first = read(
      '--deepspeed',
      'zero2',
      '--use_vllm',
      'true',
      '--target_modules',
      'a',
      'b',
      '--tuner_type',
      'lora',
    );
    writeFileSync(config, JSON.stringify(first.json));
    const again = readMsSwiftArguments([config], {});
    expect(again.json).toEqual(first.json);
    expect([...again.handedOn]).toEqual([...first.handedOn]);
  });

  test('have values that are none with the other engine', () => {
    const words = [
      '--tuner_type',
      'adalora',
      '--loss_type',
      'fipo',
      '--report_to',
      'wandb',
      '--lr_scheduler_type',
      'polynomial',
    ];
    expect(read(...words).json).toMatchObject({ tuner_type: 'adalora', loss_type: 'fipo', report_to: ['wandb'] });
    expect(complaint(() => readRlhfArguments([...ownWords, ...words], {}))).toContain('4 arguments');
    expect(complaint(() => read('--tuner_type', 'lor'))).toContain('expected one of full, lora,');
  });

  test('that nobody has are told with the nearest name', () => {
    const told = complaint(() => read('--vllm_gpu_memory_utilisation', '0.4'));
    expect(told).toContain('neither sightline rlhf nor ms-swift 4.6 has such a flag');
    expect(told).toContain('did you mean --vllm_gpu_memory_utilization?');
    expect(complaint(() => read('--load_in_4bit', 'true'))).toContain('nor ms-swift 4.6');
  });
});

describe('flags of one engine', () => {
  test('that would make another run are refused, others told', () => {
    expect(complaint(() => read('--image_alpha', 'drop'))).toBe(
      'error: ms-swift has no such setting\n  at: --image_alpha\n  fix: ms-swift lays transparent parts on white; leave it out, or convert the pictures beforehand',
    );
    expect(read('--reuse_rollout', 'false', '--eval_temperature', '0').notices).toEqual([
      expect.stringMatching(/^--reuse_rollout has no effect with --engine ms-swift: /),
      '--eval_temperature has no effect with --engine ms-swift: ms-swift samples evaluations at --temperature',
    ]);
    expect(read('--image_alpha', 'white').notices).toEqual([]);
  });

  test('of ms-swift are told to users of sightline', () => {
    const own = (...words: string[]) =>
      readRlhfArguments([...ownWords, ...words], { NNODES: '2', NPROC_PER_NODE: '2' });
    expect(complaint(() => own('--nnodes', '2'))).toContain('or train with --engine ms-swift');
    expect(own('--nnodes', '1', '--nproc_per_node', '2').notices).toHaveLength(1);
    expect(own('--engine_python', 'python').notices).toEqual([
      '--engine_python has no effect: it belongs to --engine ms-swift',
    ]);
  });

  test('are read from the environment that torchrun reads', () => {
    const env = { NPROC_PER_NODE: '2', SIGHTLINE_ENGINE_PYTHON: 'theirs' };
    const { args } = readMsSwiftArguments(required.slice(0, 2).concat(ownWords), env);
    expect(args).toMatchObject({ nprocPerNode: 2, enginePython: 'theirs' });
  });
});

test('several machines write into one folder', () => {
  const words = ['--nnodes', '2', '--master_addr', 'host'];
  expect(complaint(() => read(...words))).toContain('--add_version false');
  expect(read(...words, '--add_version', 'false').args.nnodes).toBe(2);
});

test('groups may be spread over processes', () => {
  const words = ['--per_device_train_batch_size', '4'];
  expect(complaint(() => read(...words))).toContain('num_generations');
  expect(read(...words, '--nproc_per_node', '2').args.perDeviceTrainBatchSize).toBe(4);
});

test('the engine decides which plugins are loaded here', () => {
  const files = ['a.ts', 'b.py'].map((name) => join(folder, name));
  for (const file of files) writeFileSync(file, '');
  const words = ['--external_plugins', ...files];
  expect(engineNamed(['--engine', 'ms_swift'], {})).toBe('ms-swift');
  expect(pluginsNamed(['--engine', 'ms-swift', ...words], {})).toEqual([files[0]]);
  expect(pluginsNamed(words, {})).toEqual(files);
});
