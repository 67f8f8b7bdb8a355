/**
 * The systems that are compared: the command line of each for the same work.
 * Knows flags and environments; knows nothing of measuring.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '..', '..');
const venv = process.env.PEERS_VENV ?? join(root, '.venv');
const python = join(venv, 'bin', 'python');

/** Completions per prompt and step, and tokens per completion. */
export const GROUP = 8;
export const COMPLETION_TOKENS = 64;

/** What all systems are told, in ms-swift's names: one prompt a step, all parameters but the vision tower's trained in float32. */
export const HYPERPARAMETERS = {
  num_generations: GROUP,
  per_device_train_batch_size: GROUP,
  gradient_accumulation_steps: 1,
  max_completion_length: COMPLETION_TOKENS,
  temperature: 1,
  top_p: 1,
  loss_type: 'grpo',
  epsilon: 0.2,
  beta: 0,
  learning_rate: 1e-6,
  lr_scheduler_type: 'constant',
  weight_decay: 0.1,
  adam_beta1: 0.9,
  adam_beta2: 0.95,
  max_grad_norm: 1,
  seed: 0,
};

/** Flags that ms-swift and sightline share and TRL does not have. */
const SHARED_FLAGS = {
  rlhf_type: 'grpo',
  tuner_type: 'full',
  freeze_vit: true,
  freeze_aligner: true,
  attn_impl: 'sdpa',
  dataset_shuffle: false,
  logging_steps: 1,
  save_strategy: 'no',
  report_to: 'none',
};

/** What ms-swift needs besides, to do the same on this machine. */
const SWIFT_FLAGS = {
  model_type: 'qwen2_5_vl',
  template: 'qwen2_5_vl',
  check_model: false,
  torch_dtype: 'float32',
  bf16: false,
  fp16: false,
  use_cpu: true,
  top_k: 0,
  dataloader_num_workers: 0,
  split_dataset_ratio: 0,
};

const SIGHTLINE_FLAGS = {
  external_plugins: [join(here, 'sightline_plugin.ts'), join(root, 'examples', 'train', 'grpo', 'plugin', 'plugin.ts')],
};

/** What the plugin of integrations/ms_swift takes. */
const SWIFT_PLUGIN_FLAGS = {
  external_plugins: join(root, 'integrations', 'ms_swift', 'plugin.py'),
  callbacks: 'ddapo_attention',
};

/**
 * Ways to reward attention: none; the one a system has of itself, which in the peers is an eager forward per completion; and
 * this project's plugin inside ms-swift.
 */
export const ATTENTION_WAYS = ['no', 'yes', 'plugin'];

/** The last of `SYSTEM_NAMES` is the one that the others are divided by. */
export const SYSTEM_NAMES = ['trl', 'ms-swift', 'sightline'];

/** "TRL 0.29.1" and the like. */
export function titleOf(name) {
  if (name === 'sightline') return `sightline ${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}`;
  return `${name === 'trl' ? 'TRL' : name} ${pinnedVersion(name)}`;
}

/** The version of a Python package in requirements-peers.txt. */
export function pinnedVersion(name) {
  const pins = readFileSync(join(here, 'requirements-peers.txt'), 'utf8').split('\n');
  const pin = pins.find((line) => line.startsWith(`${name}==`));
  if (pin === undefined) throw new Error(`requirements-peers.txt does not pin ${name}`);
  return pin.slice(name.length + 2);
}

/**
 * One run of a system.
 *
 * @param job model and dataset: paths; steps; attention: one of ATTENTION_WAYS; gradientCheckpointing; outputDir
 * @returns command, arguments and environment to spawn
 */
export function commandOf(name, job) {
  const flags = {
    ...HYPERPARAMETERS,
    model: job.model,
    dataset: job.dataset,
    max_steps: job.steps,
    gradient_checkpointing: job.gradientCheckpointing,
    reward_funcs: job.attention !== 'no' ? ['trivial', 'ddapo_attention'] : ['trivial'],
    output_dir: job.outputDir,
  };
  // CPU only, and nothing is looked up on a hub.
  const offline = { ...process.env, CUDA_VISIBLE_DEVICES: '', HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' };
  switch (name) {
    case 'trl':
      return { command: python, args: [join(here, 'trl_grpo.py'), ...words(flags)], env: offline };
    case 'ms-swift': {
      const plugin = job.attention === 'plugin' ? SWIFT_PLUGIN_FLAGS : {};
      // The smallest and largest picture of the checkpoint's own preprocessor, so that nothing is resized.
      const limits = { MIN_PIXELS: '3136', MAX_PIXELS: '12845056' };
      return {
        command: python,
        args: [join(here, 'swift_grpo.py'), ...words({ ...flags, ...SHARED_FLAGS, ...SWIFT_FLAGS, ...plugin })],
        env: { ...offline, ...limits, SIGHTLINE_ATTN_PROBE: 'fused' },
      };
    }
    case 'sightline':
      return {
        command: process.execPath,
        args: [
          join(root, 'dist', 'cli', 'main.js'),
          'rlhf',
          ...words({ ...flags, ...SHARED_FLAGS, ...SIGHTLINE_FLAGS }),
        ],
        env: process.env,
      };
    default:
      throw new Error(`unknown system "${name}": expected one of ${SYSTEM_NAMES.join(', ')}`);
  }
}

// --- internal ---

function words(flags) {
  return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, ...[value].flat().map(String)]);
}
