import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readMsSwiftArguments } from '../../src/arguments/arguments.ts';
import { isOfReward } from '../../src/arguments/flag.ts';
import { type Surroundings, translate } from '../../src/ms_swift/translate.ts';
import rlhfArguments from '../arguments/ms_swift/rlhf_arguments.json' with { type: 'json' };
import { temporaryFolder } from '../helpers/folder.ts';
import { swiftFixtures } from './fixtures.ts';

interface Field {
  readonly type: string;
  readonly choices?: readonly unknown[];
}
const fields: Readonly<Record<string, Field>> = rlhfArguments.fields;

const folder = temporaryFolder();
const { words: required, model } = swiftFixtures(folder);
const place: Surroundings = {
  outputDir: 'RUN',
  addVersion: false,
  systemFile: 'RUN/system.txt',
  dataset: ['ROWS'],
  valDataset: [],
  imageRoot: null,
  plugin: 'PLUGIN',
  node: 'NODE',
  cli: 'CLI',
  onCpu: false,
  minPixels: 784,
  maxPixels: 50176,
  modelType: 'qwen2_5_vl',
};

function translated(words: readonly string[], changes: Partial<Surroundings> = {}, env: Record<string, string> = {}) {
  const translation = translate(readMsSwiftArguments([...required, ...words], env), { ...place, ...changes }, env);
  return { ...translation, flags: byFlag(translation.words) };
}

/** Words by flag; the last mention wins, as in argparse. */
function byFlag(words: readonly string[]): Record<string, string[]> {
  const flags: Record<string, string[]> = {};
  let name = '';
  for (const word of words) {
    if (word.startsWith('--')) {
      name = word.slice(2);
      flags[name] = [];
    } else flags[name]!.push(word);
  }
  return flags;
}

/** A value for every flag, so that none is left out for want of one. */
const everything = [
  ...['--val_dataset', join(folder, 'val.jsonl'), '--eval_strategy', 'steps', '--eval_steps', '2'],
  ...['--system', 'Look.', '--norm_bbox', 'norm1000', '--max_length', '900', '--gradient_checkpointing', 'true'],
  ...['--lr_scheduler_kwargs', '{"num_cycles":0.5}', '--generation_batch_size', '16', '--delta', '2'],
  ...['--off_policy_sequence_mask_delta', '0.5', '--stop_words', 'END'],
  ...['--rollout_importance_sampling_mode', 'token_mask'],
  ...['--freeze_parameters', 'model.visual.', '--freeze_parameters_regex', 'norm', '--freeze_parameters_ratio', '0.1'],
  ...[
    '--trainable_parameters',
    'lm_head',
    '--trainable_parameters_regex',
    'mlp',
    '--vit_lr',
    '1e-5',
    '--aligner_lr',
    '1e-5',
  ],
  ...['--columns', '{"caption": "query"}'],
  ...['--resume_from_checkpoint', join(folder, 'checkpoint-1')],
  ...['--save_total_limit', '2', '--eval_temperature', '0', '--num_generations_eval', '8'],
];
const adapter = fileURLToPath(new URL('../golden/published/golden/lora', import.meta.url));
/** Flags that only adapters have, and cannot stand beside some of the others. */
const ofAdapters = [
  ...['--tuner_type', 'lora', '--modules_to_save', 'lm_head', '--target_regex', 'q_proj', '--lorap_lr_ratio', '2'],
  ...['--quant_bits', '4'],
  ...['--adapters', adapter, '--ref_adapters', adapter],
];
writeFileSync(join(folder, 'val.jsonl'), '{}\n');

describe('every flag', () => {
  const { flags: others, env } = translated(everything, { valDataset: ['VAL'] });
  const flags = { ...others, ...translated(ofAdapters).flags };
  const read = readMsSwiftArguments([...required, ...everything], {});

  test('that is written is one of ms-swift 4.6', () => {
    expect(Object.keys(flags).filter((name) => !(name in fields))).toEqual([]);
  });

  test('has words of its choices', () => {
    for (const [name, words] of Object.entries(flags)) {
      const { choices } = fields[name]!;
      if (choices !== undefined) for (const word of words) expect(choices.map(String), `--${name}`).toContain(word);
    }
  });

  test('is written, or is a variable, or says what becomes of it', () => {
    for (const [name, flag] of Object.entries(read.flags)) {
      const { msSwift = {} } = flag;
      const isSaid = 'readHere' in msSwift || 'ignored' in msSwift || 'refused' in msSwift;
      const isVariable = 'env' in msSwift && (msSwift.env in env || read.json[name] === null);
      const isEither = ['generation_batch_size', 'steps_per_generation'].includes(name);
      expect(name in flags || isVariable || isSaid || isEither || isOfReward(flag), `--${name}`).toBe(true);
    }
  });

  test('bits of quantised weights come with a method, without which ms-swift passes over them', () => {
    expect(flags.quant_bits).toEqual(['4']);
    expect(flags.quant_method).toEqual(['bnb']);
    const own = translated(['--tuner_type', 'lora', '--quant_bits', '8', '--quant_method', 'hqq']).flags;
    expect([own.quant_bits, own.quant_method]).toEqual([['8'], ['hqq']]);
  });

  test('of those that ms-swift lacks says so in the schema', () => {
    const silent = Object.entries(read.flags).filter(
      ([name, { msSwift }]) => msSwift === undefined && !(name in fields),
    );
    expect(silent.map(([name]) => name).filter((name) => !isOfReward(read.flags[name]!))).toEqual([]);
  });

  test('has more values only where ms-swift has them', () => {
    for (const [name, { msSwift = {} }] of Object.entries(read.flags)) {
      const { choices } = fields[name] ?? {};
      if ('more' in msSwift && choices !== undefined)
        expect(choices).toEqual(expect.arrayContaining([...msSwift.more!]));
    }
  });
});

describe('values', () => {
  test('are written out where defaults differ', () => {
    const { flags } = translated([]);
    expect(flags).toMatchObject({
      rlhf_type: ['grpo'],
      tuner_type: ['full'],
      learning_rate: ['0.00001'],
      gradient_accumulation_steps: ['1'],
      per_device_eval_batch_size: ['8'],
      strict: ['true'],
      truncation_strategy: ['delete'],
      beta: ['0.04'],
      use_vllm: ['false'],
      check_model: ['false'],
      model: [model],
      model_type: ['qwen2_5_vl'],
      template: ['qwen2_5_vl'],
      output_dir: ['RUN'],
      add_version: ['false'],
    });
    for (const name of ['max_length', 'gradient_checkpointing', 'delta', 'system', 'norm_bbox', 'torch_dtype'])
      expect(flags).not.toHaveProperty(name);
  });

  test('of other tuners have their own learning rate', () => {
    expect(translated(['--tuner_type', 'lora']).flags).not.toHaveProperty('learning_rate');
    expect(translated(['--tuner_type', 'lora', '--learning_rate', '2e-5']).flags.learning_rate).toEqual(['0.00002']);
  });

  test('one of the two sizes of a rollout', () => {
    expect(translated(['--steps_per_generation', '2']).flags).toMatchObject({ steps_per_generation: ['2'] });
    const { flags } = translated(['--generation_batch_size', '16']);
    expect(flags).toMatchObject({ generation_batch_size: ['16'] });
    expect(flags).not.toHaveProperty('steps_per_generation');
  });

  test('rows in their order need two flags there', () => {
    const { flags } = translated(['--dataset_shuffle', 'false']);
    expect(flags).toMatchObject({ dataset_shuffle: ['false'], train_dataloader_shuffle: ['false'] });
  });

  test('a system prompt goes as a file where ms-swift would change the text', () => {
    const file = join(folder, 'prompt.txt');
    expect(translated(['--system', 'Look.\\nThink.']).flags.system).toEqual(['Look.\nThink.']);
    writeFileSync(file, 'Write \\n for a line break.');
    expect(translated(['--system', file]).flags.system).toEqual(['RUN/system.txt']);
    expect(translated(['--system', '']).flags.system).toEqual(['']);
  });
});

describe('rewards and plugins', () => {
  const script = join(folder, 'mine.ts');
  const python = join(folder, 'theirs.py');
  for (const path of [script, python]) writeFileSync(path, '');

  test('those that ms-swift has too are ours', () => {
    const { flags } = translated(['--reward_funcs', 'accuracy', 'format', 'external_r1v_acc', 'math']);
    expect(flags.reward_funcs).toEqual(['sightline_accuracy', 'sightline_format', 'external_r1v_acc', 'math']);
  });

  test('TypeScript goes to the reward server, Python to ms-swift', () => {
    const { flags, env } = translated(['--external_plugins', script, python, '--callbacks', 'mine', 'ddapo_attention']);
    expect(flags.external_plugins).toEqual(['PLUGIN', python]);
    expect(env.SIGHTLINE_PLUGINS).toBe(script);
    expect(flags.callbacks).toEqual(['ddapo_attention', 'mine']);
  });

  test('their flags are variables', () => {
    const { env } = translated(['--ddapo_group_norm', 'true', '--attn_probe', 'eager']);
    expect(env).toMatchObject({ DDAPO_GROUP_NORM: '1', DDAPO_REWARD_CENTER: '0', SIGHTLINE_ATTN_PROBE: 'eager' });
    const options = { ddapo_reward_center: false, ddapo_group_norm: true };
    expect(JSON.parse(env.SIGHTLINE_REWARD_OPTIONS!)).toMatchObject({ ...options, repetition_n_grams: 3 });
  });

  test('what the environment says stays, unless a flag says otherwise', () => {
    const env = { SIGHTLINE_ATTN_PROBE: 'fused', SIGHTLINE_NODE: 'other' };
    expect(translated([], {}, env).env).not.toHaveProperty('SIGHTLINE_ATTN_PROBE');
    expect(translated([], {}, env).env).not.toHaveProperty('SIGHTLINE_NODE');
    expect(translated(['--attn_probe', 'eager'], {}, env).env).toMatchObject({ SIGHTLINE_ATTN_PROBE: 'eager' });
  });
});

describe('the machine', () => {
  test('pixel limits are always set', () => {
    expect(translated([]).env).toMatchObject({ MIN_PIXELS: '784', MAX_PIXELS: '50176' });
  });

  test('processes are variables, which make it torchrun', () => {
    const words = ['--nproc_per_node', '8', '--nnodes', '2', '--node_rank', '1', '--master_addr', 'host'];
    const { env, flags } = translated([...words, '--master_port', '29501', '--add_version', 'false']);
    expect(env).toMatchObject({
      NPROC_PER_NODE: '8',
      NNODES: '2',
      NODE_RANK: '1',
      MASTER_ADDR: 'host',
      MASTER_PORT: '29501',
    });
    expect(flags).not.toHaveProperty('ddp_backend');
    expect(translated([]).env).not.toHaveProperty('NPROC_PER_NODE');
  });

  test('a CPU takes float32, and gloo between processes', () => {
    const cpu = { onCpu: true };
    expect(translated([], cpu).flags).toMatchObject({ torch_dtype: ['float32'], fp16: ['false'], bf16: ['false'] });
    expect(translated([], cpu).flags).not.toHaveProperty('ddp_backend');
    expect(translated([], cpu).env).toMatchObject({ CUDA_VISIBLE_DEVICES: '', ACCELERATE_USE_CPU: 'true' });
    expect(translated(['--nproc_per_node', '2'], cpu).flags.ddp_backend).toEqual(['gloo']);
    expect(translated(['--torch_dtype', 'bfloat16'], cpu).flags.torch_dtype).toEqual(['bfloat16']);
  });

  test('flags of ms-swift are handed on as they are, and last', () => {
    const words = ['--deepspeed', 'zero3', '--use_vllm', '--vllm_mode', 'colocate', '--lora_dtype', 'bfloat16'];
    const translation = translated([...words, '--check_model', 'true']);
    expect(translation.words.slice(-words.length - 2)).toEqual([...words, '--check_model', 'true']);
    expect(translation.words.filter((word) => word === '--use_vllm' || word === '--check_model')).toHaveLength(2);
  });
});
