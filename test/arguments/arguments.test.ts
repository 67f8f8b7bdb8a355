import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  readInferArguments,
  readRlhfArguments,
  readScoreArguments,
  readSftArguments,
} from '../../src/arguments/arguments.ts';
import { formatError, SightlineError } from '../../src/errors.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder();
const model = join(folder, 'model');
const data = join(folder, 'train.jsonl');
const text = join(folder, 'prompt.txt');
const plugin = join(folder, 'plugin.ts');
const outputDir = join(folder, 'output');
mkdirSync(model);
writeFileSync(data, '{}\n');
writeFileSync(text, 'Think first.\nThen answer.\n');
writeFileSync(plugin, '');

const base = ['--model', model, '--dataset', data, '--output_dir', outputDir];
const grpo = [...base, '--reward_funcs', 'a', 'b', '--per_device_train_batch_size', '8'];

function rlhf(extra: readonly string[] = [], env: Record<string, string> = {}) {
  return readRlhfArguments([...grpo, ...extra], env);
}

/** What a user reads, exit code included. */
function complaint(argv: readonly string[], env: Record<string, string> = {}): string {
  try {
    readRlhfArguments(argv, env);
  } catch (error) {
    if (error instanceof SightlineError) return `${formatError(error)}\nexit ${error.exitCode}`;
    throw error;
  }
  return 'no error';
}

describe('values', () => {
  test('defaults are those of ms-swift', () => {
    expect(rlhf().args).toMatchObject({
      numGenerations: 8,
      gradientAccumulationSteps: 1,
      stepsPerGeneration: 1,
      generationBatchSize: 8,
      numIterations: 1,
      maxCompletionLength: 512,
      temperature: 0.9,
      topP: 1,
      topK: -1,
      lossType: 'grpo',
      importanceSamplingLevel: 'token',
      epsilon: 0.2,
      epsilonHigh: 0.2,
      delta: null,
      beta: 0.04,
      scaleRewards: 'group',
      learningRate: 1e-5,
      weightDecay: 0.1,
      adamBeta1: 0.9,
      adamBeta2: 0.95,
      adamEpsilon: 1e-8,
      maxGradNorm: 1,
      lrSchedulerType: 'cosine',
      warmupRatio: 0,
      numTrainEpochs: 3,
      maxSteps: -1,
      seed: 42,
      dataSeed: 42,
      datasetShuffle: true,
      freezeVit: true,
      freezeAligner: true,
      freezeLlm: false,
      gradientCheckpointing: null,
      loggingSteps: 5,
      loggingFirstStep: true,
      saveSteps: 500,
      evalStrategy: 'no',
      rewardWeights: [1, 1],
      attnProbe: 'auto',
      numGenerationsEval: 8,
      perDeviceEvalBatchSize: 8,
    });
  });

  test("the original run's flags", () => {
    const { args } = rlhf([
      ...['--rlhf_type', 'grpo', '--reward_funcs', 'ddapo_attention', 'external_r1v_acc', 'format'],
      ...['--reward_weights', '1', '4', '1', '--epsilon', '0.2', '--epsilon_high', '0.28', '--beta', '0'],
      ...['--importance_sampling_level', 'token', '--temperature', '1.0', '--loss_type', 'grpo', '--top_k', '-1'],
      ...['--external_plugins', plugin, '--system', text, '--log_completions', 'true', '--report_to', 'tensorboard'],
      ...['--attn_impl', 'flash_attn', '--train_type', 'full', '--freeze_vit', 'false', '--num_generations', '8'],
    ]);
    expect(args).toMatchObject({
      rewardFuncs: ['ddapo_attention', 'external_r1v_acc', 'format'],
      rewardWeights: [1, 4, 1],
      epsilonHigh: 0.28,
      beta: 0,
      topK: -1,
      externalPlugins: [plugin],
      system: 'Think first.\nThen answer.\n',
      logCompletions: true,
      reportTo: ['tensorboard'],
      attnImpl: 'flash_attention_2',
      tunerType: 'full',
      freezeVit: false,
    });
  });

  test('a bare boolean is true, a repeated flag counts the last time, without a note', () => {
    const { args, notices } = rlhf(['--debug', '--seed', '1', '--seed', '2']);
    expect(args).toMatchObject({ debug: true, seed: 2 });
    expect(notices).toEqual([]);
  });

  test('the generation batch comes from either size', () => {
    expect(rlhf(['--steps_per_generation', '4']).args).toMatchObject({
      generationBatchSize: 32,
      stepsPerGeneration: 4,
    });
    expect(rlhf(['--generation_batch_size', '16']).args).toMatchObject({
      generationBatchSize: 16,
      stepsPerGeneration: 2,
    });
    expect(rlhf(['--gradient_accumulation_steps', '3']).args).toMatchObject({ generationBatchSize: 24 });
  });

  test('environment: below the command line, above the default', () => {
    const env = { MAX_PIXELS: '50176', DDAPO_GROUP_NORM: '1', DDAPO_REWARD_CENTER: '0' };
    expect(rlhf([], env).args).toMatchObject({
      maxPixels: 50176,
      rewardOptions: { ddapo_group_norm: true, ddapo_reward_center: false },
    });
    expect(rlhf(['--max_pixels', '3136'], env).args.maxPixels).toBe(3136);
  });

  test('--system text: \\n typed as two characters is a line break', () => {
    expect(rlhf(['--system', 'a\\nb']).args.system).toBe('a\nb');
    expect(rlhf(['--system', '']).args.system).toBe('');
  });

  test('--system file: a byte order mark and line breaks of Windows stay out of the prompt', () => {
    const file = join(folder, 'windows.txt');
    writeFileSync(file, '\ufeffThink first.\r\nThen answer.\r\n');
    expect(rlhf(['--system', file]).args.system).toBe('Think first.\nThen answer.\n');
  });

  test('evaluation follows saving where there are rows', () => {
    const { args } = rlhf(['--val_dataset', data, '--save_steps', '7']);
    expect(args).toMatchObject({ evalStrategy: 'steps', evalSteps: 7 });
  });

  test('FILE#N is a file with a number of rows', () => {
    expect(rlhf(['--dataset', `${data}#3`]).args.dataset).toEqual([`${data}#3`]);
  });

  test('sft accumulates to 16 rows', () => {
    expect(readSftArguments([...base, '--per_device_train_batch_size', '3'], {}).args.gradientAccumulationSteps).toBe(
      6,
    );
  });

  test('score and infer', () => {
    const output = join(folder, 'scores.jsonl');
    expect(readScoreArguments(['--model', model, '--dataset', data, '--output', output], {}).args).toMatchObject({
      temperature: 1,
      attnProbe: 'auto',
      attnImpl: 'sdpa',
    });
    const cache = join(folder, 'hub', 'models--Qwen--Qwen2.5-VL-3B-Instruct');
    const commit = 'c747f21f03e7d0792c30766310bd7d8de17eeeb3';
    mkdirSync(join(cache, 'snapshots', commit), { recursive: true });
    mkdirSync(join(cache, 'refs'));
    writeFileSync(join(cache, 'refs', 'main'), commit);
    const named = ['--model', 'Qwen/Qwen2.5-VL-3B-Instruct', '--dataset', data, '--output', output];
    const fromCache = readScoreArguments(named, { HF_HOME: folder });
    expect(fromCache.args.modelDir).toBe(join(cache, 'snapshots', commit));
    expect(fromCache.json).toMatchObject({ model: 'Qwen/Qwen2.5-VL-3B-Instruct', model_revision: null });
    expect(fromCache.json).not.toHaveProperty('model_dir');
    expect(readInferArguments(['--model', model, '--query', 'What?', '--images', data], {}).args).toMatchObject({
      prompt: 'What?',
      image: [data],
      temperature: 0,
    });
  });
});

describe('config file', () => {
  const config = join(folder, 'run.json');

  test('below the command line, above the environment; as an operand or with --config', () => {
    writeFileSync(
      config,
      JSON.stringify({
        model,
        dataset: [data],
        reward_funcs: 'a',
        per_device_train_batch_size: 8,
        max_pixels: 1000,
        seed: 7,
      }),
    );
    for (const words of [[config], ['--config', config]]) {
      const { args } = readRlhfArguments([...words, '--seed', '9'], { MAX_PIXELS: '1' });
      expect(args).toMatchObject({ seed: 9, maxPixels: 1000, rewardFuncs: ['a'] });
    }
  });

  test("an earlier run's args.json gives the same arguments", () => {
    const first = rlhf(['--system', text, '--epsilon_high', '0.28', '--learning_rate', '2e-6']);
    writeFileSync(config, JSON.stringify({ ...first.json, _sightline: { version: '0' } }));
    expect(readRlhfArguments([config], {}).args).toEqual({ ...first.args, config: null });
  });

  test('a wrong value names the file; nulls of ms-swift stand for the default', () => {
    writeFileSync(config, JSON.stringify({ temperature: '1', seed: null, deepspeed: null, vllm_mode: null }));
    expect(complaint([config, ...grpo])).toBe(
      `error: expected a number above 0, got "1" (in ${config})\n  at: --temperature\n  fix: sightline rlhf --help lists every flag\nexit 2`,
    );
  });

  test('a name of JavaScript is no flag', () => {
    writeFileSync(config, JSON.stringify({ constructor: 1 }));
    expect(complaint([config, ...grpo])).toContain('sightline rlhf has no such flag');
  });

  test('YAML and missing files', () => {
    expect(complaint([join(folder, 'nothing.yaml')])).toContain('nothing.yaml');
    expect(complaint([join(folder, 'nothing.json')])).toContain('nothing.json');
    expect(complaint([join(folder, 'nothing.json')])).toContain('exit 2');
  });
});

describe('flags of ms-swift without a counterpart', () => {
  test('harmless ones are taken, and told in one line', () => {
    const { notices } = rlhf(['--bf16', 'true', '--dataloader_num_workers', '4', '--lora_dtype', 'float32']);
    expect(notices).toEqual([
      '3 flags have no effect here (why: docs/flags.md): --bf16 --dataloader_num_workers --lora_dtype',
    ]);
    expect(rlhf(['--bf16', 'true']).notices).toEqual(['--bf16 has no effect: weights and arithmetic are float32']);
  });
  test('those that ask for nothing pass in silence', () => {
    expect(rlhf(['--use_vllm', 'false', '--sequence_parallel_size', '1', '--template', 'qwen2_5_vl']).notices).toEqual(
      [],
    );
  });
  test.each([
    ['grpo', { scaleRewards: 'group', klInReward: false }],
    ['rloo', { scaleRewards: 'none', klInReward: true }],
    ['reinforce_plus_plus', { scaleRewards: 'batch', klInReward: true }],
  ])('%s has the scale and the KL of ms-swift, unless they are given', (estimator, expected) => {
    const words = [...grpo, '--advantage_estimator', estimator];
    expect(readRlhfArguments(words, {}).args).toMatchObject(expected);
    const given = [...words, '--scale_rewards', 'group', '--kl_in_reward', 'false'];
    expect(readRlhfArguments(given, {}).args).toMatchObject({ scaleRewards: 'group', klInReward: false });
  });

  test.each([
    ['--deepspeed', 'zero3', 'one process'],
    ['--use_vllm', 'true', 'built-in batched engine'],
    ['--use_liger_kernel', 'true', 'chunks'],
    ['--sequence_parallel_size', '2', 'one process'],
    ['--fsdp', 'fsdp2', 'one process'],
    ['--async_generate', 'true', 'take turns'],
  ])('%s %s stops with what to use instead', (flag, value, text) => {
    const told = complaint([...grpo, flag, value]);
    expect(told).toContain(`  at: ${flag}\n`);
    expect(told).toContain(text);
    expect(told).toContain('exit 2');
  });
  test('--ignore_unsupported true makes a note of them', () => {
    const { notices } = rlhf(['--deepspeed', 'zero3', '--ignore_unsupported', 'true']);
    expect(notices).toEqual([expect.stringMatching(/^--deepspeed is ignored/)]);
  });
});

describe('bad input', () => {
  const rows: [string, string[], string, string][] = [
    ['unknown flag', ['--num_generation', '4'], 'at: --num_generation', 'did you mean --num_generations?'],
    ['letters swapped', ['--learning_rtae', '1'], 'at: --learning_rtae', 'did you mean --learning_rate?'],
    ['nothing near', ['--zzzzqqqq', '1'], 'at: --zzzzqqqq', 'sightline rlhf has no such flag'],
    [
      'text for a number',
      ['--learning_rate', 'abc'],
      'at: --learning_rate',
      'expected a number of at least 0, got "abc"',
    ],
    ['out of range', ['--epsilon', '-1'], 'at: --epsilon', 'expected a number of at least 0, got -1'],
    ['infinite', ['--temperature', 'Infinity'], 'at: --temperature', 'expected a number above 0'],
    [
      'fraction for a count',
      ['--max_steps', '1.5'],
      'at: --max_steps',
      'expected a whole number of at least -1, got 1.5',
    ],
    ['no value', ['--seed'], 'at: --seed', 'the flag has no value'],
    ['two values', ['--seed', '1', '2'], 'at: --seed', 'the flag takes one value, got 2: "1" "2"'],
    ['not a boolean', ['--freeze_vit', 'maybe'], 'at: --freeze_vit', 'expected true or false, got "maybe"'],
    [
      'not a choice',
      ['--loss_type', 'grop'],
      'at: --loss_type',
      'expected one of grpo, bnpo, dr_grpo, dapo, cispo, sapo, got "grop"',
    ],
    ['a choice of ms-swift', ['--train_type', 'adalora'], 'at: --tuner_type', 'expected one of full, lora'],
    ['another algorithm', ['--rlhf_type', 'dpo'], 'at: --rlhf_type', 'use --rlhf_type grpo'],
    ['one completion', ['--num_generations', '1'], 'at: --num_generations', 'of at least 2, got 1'],
    [
      'a group without end',
      ['--num_generations', '1000000000'],
      'at: --num_generations',
      'at most 65536, got 1000000000',
    ],
    [
      'a batch without end',
      ['--gradient_accumulation_steps', '1000000000'],
      'at: --gradient_accumulation_steps',
      '65536',
    ],
    ['an evaluation without end', ['--num_generations_eval', '1000000000'], 'at: --num_generations_eval', '65536'],
    [
      'a rollout without end',
      ['--per_device_train_batch_size', '65536', '--steps_per_generation', '2'],
      'at: --generation_batch_size',
      '131072 completions are sampled at once',
    ],
    ['batch and group', ['--num_generations', '3'], 'at: --num_generations', '8 completions are sampled at once'],
    [
      'two sizes',
      ['--generation_batch_size', '16', '--steps_per_generation', '3'],
      'at: --generation_batch_size',
      'give one of the two flags',
    ],
    ['size no multiple', ['--generation_batch_size', '12'], 'at: --generation_batch_size', 'is not a multiple'],
    ['weights and rewards', ['--reward_weights', '1'], 'at: --reward_weights', '1 weights for 2 rewards (a, b)'],
    ['a weight of text', ['--reward_weights', '1', 'x'], 'at: --reward_weights', 'expected a number, got "x"'],
    ['a reward twice', ['--reward_funcs', 'a', 'a'], 'at: --reward_funcs', 'a reward is named twice'],
    ['no model', ['--model', join(folder, 'nowhere')], 'at: --model', 'no such folder'],
    [
      'a model of no cache',
      ['--model', 'no/such-model'],
      'at: --model',
      'download it first: hf download no/such-model',
    ],
    [
      'a revision of a folder',
      ['--model_revision', 'v1'],
      'at: --model',
      '--model_revision v1 is given, but --model is a folder',
    ],
    ['model is a file', ['--model', data], 'at: --model', 'is a file, not a folder'],
    ['no dataset', ['--dataset', join(folder, 'nowhere')], 'at: --dataset', 'no such file'],
    ['no plugin', ['--external_plugins', 'nowhere.ts'], 'at: --external_plugins', 'no such file: nowhere.ts'],
    ['no system file', ['--system', 'nowhere.txt'], 'at: --system', 'the file cannot be read: nowhere.txt'],
    ['output is a file', ['--output_dir', data], 'at: --output_dir', 'is a file, not a folder'],
    ['output with a line break', ['--output_dir', 'a\nb'], 'at: --output_dir', 'has a line break'],
    ['pixels crossed', ['--min_pixels', '9', '--max_pixels', '4'], 'at: --min_pixels', '9 is more than --max_pixels 4'],
    ['two warm-ups', ['--warmup_ratio', '.1', '--warmup_steps', '3'], 'at: --warmup_steps', 'keep one of the two'],
    [
      'evaluation without rows',
      ['--eval_strategy', 'steps'],
      'at: --eval_strategy',
      'steps needs evaluation rows, but there are none',
    ],
    ['all frozen', ['--freeze_llm', 'true'], 'at: --freeze_llm', 'nothing is left to train'],
    [
      'gdpo and another estimator',
      ['--scale_rewards', 'gdpo', '--advantage_estimator', 'rloo'],
      'at: --scale_rewards',
      'gdpo has a baseline of its own',
    ],
    [
      'gdpo and a KL in the reward',
      ['--scale_rewards', 'gdpo', '--kl_in_reward', 'true'],
      'at: --scale_rewards',
      'gdpo scales every reward by itself',
    ],
    [
      'an adapter and a moving reference',
      ['--sync_ref_model', 'true', '--tuner_type', 'lora'],
      'at: --sync_ref_model',
      'the reference is the model without it',
    ],
    [
      'a moving reference that no KL needs',
      ['--sync_ref_model', 'true', '--beta', '0'],
      'at: --sync_ref_model',
      'with --beta 0 there is no reference model',
    ],
    ['wandb', ['--report_to', 'wandb'], 'at: --report_to', 'nothing is sent over the network'],
  ];
  test.each(rows)('%s', (_, extra, where, what) => {
    const told = complaint([...grpo, ...extra]);
    expect(told).toContain(`  ${where}\n`);
    expect(told).toContain(what);
    expect(told).toContain('exit 2');
    expect(told.split('\n').length).toBeLessThanOrEqual(4);
  });

  test('a word before the flags that is no config file', () => {
    expect(complaint(['-x', ...grpo])).toContain('the word belongs to no flag\n  at: -x');
  });

  test('all faults are listed together', () => {
    expect(complaint(['--model', model, '--learning_rat', '1', '--top_p', '2', '--num_generations', '0'])).toBe(
      [
        'error: 5 arguments of sightline rlhf are wrong',
        '  ✖ sightline rlhf has no such flag; did you mean --learning_rate? → at --learning_rat',
        '  ✖ expected a number above 0 and of at most 1, got 2 → at --top_p',
        '  ✖ expected a whole number of at least 2, got 0 → at --num_generations',
        '  ✖ the flag is required; write --dataset PATH... → at --dataset',
        '  ✖ the flag is required; write --reward_funcs NAME... → at --reward_funcs',
        '  fix: sightline rlhf --help lists every flag',
        'exit 2',
      ].join('\n'),
    );
  });

  test('nothing is created', () => {
    const before = readdirSync(folder);
    complaint([...grpo, '--epsilon', '-1']);
    expect(readdirSync(folder)).toEqual(before);
    expect(before).not.toContain('output');
  });
});

test('what changed is what was given and is not the default', () => {
  expect(rlhf(['--seed', '42', '--beta', '0']).changed).toEqual({
    model,
    dataset: [data],
    output_dir: outputDir,
    reward_funcs: ['a', 'b'],
    per_device_train_batch_size: 8,
    beta: 0,
  });
});

test.skipIf(process.platform === 'win32')('a file that is none is told as what it is', () => {
  const pipe = join(folder, 'pipe.png');
  execFileSync('mkfifo', [pipe]);
  for (const [path, kind] of [
    [pipe, 'is not a regular file'],
    [folder, 'is a folder'],
    ['https://example.org/a.png', 'is a URL, expected a file'],
    [join(folder, 'nowhere.png'), 'no such file'],
  ] as const) {
    const reading = () => readInferArguments(['--model', folder, '--image', path], {});
    expect(reading).toThrow(expect.objectContaining({ code: 'E_ARGUMENTS', message: `${kind}: ${path}` }));
  }
});
