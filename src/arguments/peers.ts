/**
 * Flags of ms-swift (4.6) that this program does not have: which change nothing here and are taken with a note,
 * and which ask for something that does not exist here and stop the run with what to use instead.
 */

export interface PeerFlag {
  /** `ignored`: taken, with a note. `refused`: stops the run, unless its value is one of `neutral`. */
  readonly verdict: 'ignored' | 'refused';
  /** Why it has no effect, or what to use instead. */
  readonly text: string;
}

/** What is known of a flag that no command declares; null if ms-swift does not have it either. */
export function peerFlag(name: string): PeerFlag | null {
  const exact = EXACT.get(name);
  if (exact !== undefined) return exact;
  for (const [prefix, flag] of PREFIXES) if (name.startsWith(prefix)) return flag;
  return null;
}

/** Whether the words after a refused flag ask for nothing: `--use_vllm false`, `--sequence_parallel_size 1`. */
export function asksForNothing(name: string, words: readonly string[]): boolean {
  if (words.length === 0) return false;
  const neutral = [...NOTHING, ...(NEUTRAL.get(name) ?? [])];
  return words.every((word) => neutral.includes(word.toLowerCase()));
}

/** Names of all exact entries, for the nearest-name search and the docs. */
export function peerFlagNames(): string[] {
  return [...EXACT.keys()];
}

// --- internal ---

const NOTHING = ['false', 'none', 'null', '', '[]', '{}'];

const NEUTRAL = new Map<string, readonly string[]>([
  ['sequence_parallel_size', ['1']],
  ['sleep_level', ['0']],
  ['min_p', ['0', '0.0']],
  ['repetition_penalty', ['1', '1.0']],
  ['top_entropy_quantile', ['1', '1.0']],
  ['num_beams', ['1']],
  ['sdar_loss_coef', ['0', '0.0']],
  ['freeze_parameters_ratio', ['0', '0.0']],
  ['save_safetensors', ['true']],
  ['infer_backend', ['pt', 'transformers']],
  ['template_backend', ['swift', 'jinja']],
  ['padding_side', ['left', 'right']],
  ['template', ['qwen2_5_vl']],
  ['model_type', ['qwen2_5_vl']],
]);

const ENGINE =
  'sampling uses the built-in batched engine; leave it out, and set --temperature, --top_p, --top_k, --max_completion_length';
const ONE_PROCESS =
  'training runs in one process on one machine; leave it out, and lower memory with --gradient_checkpointing true and a smaller --per_device_train_batch_size';
const NO_LORA = 'it belongs to LoRA and changes nothing with --tuner_type full';
const FLOAT32 = 'weights and arithmetic are float32 here';
const OWN_LOADER = 'rows and images are read by a loader that has no such setting';
const LOCAL = 'models and data are local folders and files; nothing is downloaded or uploaded';
const NOT_YET = 'not built yet; leave it out';
const READ_FROM_MODEL = 'it is read from the checkpoint';

const IGNORED: Record<string, readonly string[]> = {
  [FLOAT32]: ['torch_dtype', 'bf16', 'fp16', 'tf32', 'bf16_full_eval', 'fp16_full_eval', 'lora_dtype'],
  [OWN_LOADER]: [
    'dataloader_num_workers',
    'dataloader_persistent_workers',
    'dataloader_prefetch_factor',
    'dataloader_pin_memory',
    'dataloader_drop_last',
    'dataset_num_proc',
    'lazy_tokenize',
    'load_from_cache_file',
    'download_mode',
    'streaming',
    'shuffle_buffer_size',
    'train_dataloader_shuffle',
    'val_dataset_shuffle',
    'remove_unused_columns',
    'disable_auto_column_mapping',
    'group_by_length',
    'custom_dataset_info',
  ],
  [LOCAL]: ['use_hf', 'hub_token', 'check_model', 'push_to_hub', 'hub_model_id', 'hub_strategy'],
  [READ_FROM_MODEL]: ['task_type', 'model_name', 'model_author', 'use_chat_template', 'max_model_len'],
  [NO_LORA]: [
    'lora_rank',
    'lora_alpha',
    'lora_dropout',
    'lora_bias',
    'target_modules',
    'target_regex',
    'modules_to_save',
    'use_rslora',
    'use_dora',
    'lorap_lr_ratio',
    'init_weights',
    'tuner_backend',
    'merge_lora',
  ],
  'entropy is always measured and logged': ['log_entropy'],
  'AdamW is the only optimiser': ['optim'],
  'one process needs no such setting': [
    'ddp_timeout',
    'ddp_backend',
    'ddp_find_unused_parameters',
    'local_rank',
    'device_map',
    'nproc_per_node',
  ],
  'runs repeat exactly for a seed': ['full_determinism'],
  'logits exist only in chunks of rows': ['use_logits_to_keep'],
  'the vision tower follows --gradient_checkpointing': ['vit_gradient_checkpointing', 'gradient_checkpointing_kwargs'],
  'checkpoints are safetensors': ['safe_serialization', 'save_safetensors', 'max_shard_size'],
  'the run folder has the name and runs/ the event files': [
    'run_name',
    'logging_dir',
    'create_checkpoint_symlink',
    'overwrite_output_dir',
    'disable_tqdm',
    'logging_strategy',
    'log_level',
    'wandb_log_unique_prompts',
    'wandb_project',
  ],
  'arguments come from the command line and --config': ['load_args', 'load_data_args', 'ignore_args_error'],
  'the best checkpoint goes by evaluation reward in rlhf and by evaluation loss in sft': [
    'metric_for_best_model',
    'greater_is_better',
  ],
};

const REFUSED: Record<string, readonly string[]> = {
  [ENGINE]: [
    'use_vllm',
    'use_lmdeploy',
    'infer_backend',
    'async_generate',
    'sleep_level',
    'move_model_batches',
    'offload_model',
    'offload_optimizer',
    'structured_outputs_regex',
    'enable_flattened_weight_sync',
  ],
  [ONE_PROCESS]: [
    'deepspeed',
    'fsdp',
    'fsdp_config',
    'zero_hpz_partition_size',
    'deepspeed_autotp_size',
    'sequence_parallel_size',
    'tensor_model_parallel_size',
    'pipeline_model_parallel_size',
    'use_ray',
    'max_memory',
  ],
  'token log-probabilities are always computed in chunks; leave it out': ['use_liger_kernel'],
  'rows are not packed or padded together; leave it out': ['packing', 'packing_length', 'padding_free', 'padding_side'],
  'weights are float32; leave it out': ['quant_method', 'quant_bits', 'load_in_4bit', 'load_in_8bit'],
  'only the Qwen2.5-VL architecture is built, and the chat template is that of the checkpoint; leave it out': [
    'template',
    'model_type',
    'template_backend',
    'rope_scaling',
  ],
  'a run cannot be resumed yet; start from the saved weights with --model RUN/checkpoint-N': [
    'resume_from_checkpoint',
    'resume_only_model',
    'ignore_data_skip',
  ],
  'the reference is --model as it is at the start; leave it out': ['ref_model', 'ref_adapters'],
  'one --learning_rate serves all trained parameters; leave it out': ['vit_lr', 'aligner_lr'],
  'rewards are functions: write one in a file for --external_plugins and name it in --reward_funcs': [
    'reward_model',
    'reward_model_plugin',
    'reward_model_type',
  ],
  'use --freeze_llm, --freeze_vit and --freeze_aligner': [
    'freeze_parameters',
    'freeze_parameters_regex',
    'freeze_parameters_ratio',
    'trainable_parameters',
    'trainable_parameters_regex',
  ],
  'use the column names `messages` and `images` in the dataset': ['columns'],
  'use --min_pixels and --max_pixels': ['model_kwargs'],
  'register rewards with --external_plugins': ['custom_register_path'],
  'train all parameters with --tuner_type full, starting from merged weights': ['adapters'],
  'use --num_train_epochs': ['max_epochs'],
  [NOT_YET]: [
    'dynamic_sample',
    'max_resample_times',
    'overlong_filter',
    'kl_in_reward',
    'sync_ref_model',
    'ref_model_sync_steps',
    'ref_model_mixup_alpha',
    'top_entropy_quantile',
    'off_policy_sequence_mask_delta',
    'log_rollout_offpolicy_metrics',
    'min_p',
    'repetition_penalty',
    'stop_words',
    'num_beams',
    'tau_pos',
    'tau_neg',
    'real_tau',
    'advantage_reweight',
    'max_turns',
    'early_stop_interval',
    'loss_scale',
    'callbacks',
    'enable_thinking',
    'response_prefix',
    'cached_dataset',
    'interleave_prob',
  ],
};

const EXACT: ReadonlyMap<string, PeerFlag> = new Map([...entries('ignored', IGNORED), ...entries('refused', REFUSED)]);

const PREFIXES: readonly (readonly [string, PeerFlag])[] = [
  ['vllm_', { verdict: 'refused', text: ENGINE }],
  ['sglang_', { verdict: 'refused', text: ENGINE }],
  ['lmdeploy_', { verdict: 'refused', text: ENGINE }],
  ['fsdp_', { verdict: 'refused', text: ONE_PROCESS }],
  ['galore_', { verdict: 'refused', text: 'AdamW is the only optimiser; leave it out' }],
  ['bnb_', { verdict: 'refused', text: 'weights are float32; leave it out' }],
  ['cosine_', { verdict: 'refused', text: NOT_YET }],
  ['repetition_', { verdict: 'refused', text: NOT_YET }],
  ['soft_', { verdict: 'refused', text: NOT_YET }],
  ['chord_', { verdict: 'refused', text: NOT_YET }],
  ['teacher_', { verdict: 'refused', text: NOT_YET }],
  ['rlsd_', { verdict: 'refused', text: NOT_YET }],
  ['sdar_', { verdict: 'refused', text: NOT_YET }],
  ['fipo_', { verdict: 'refused', text: NOT_YET }],
  ['rollout_importance_', { verdict: 'refused', text: NOT_YET }],
  ['multi_turn_', { verdict: 'refused', text: NOT_YET }],
  ['gym_', { verdict: 'refused', text: NOT_YET }],
  ['swanlab_', { verdict: 'ignored', text: 'nothing is sent over the network' }],
  ['hub_', { verdict: 'ignored', text: LOCAL }],
];

function entries(verdict: PeerFlag['verdict'], table: Record<string, readonly string[]>): [string, PeerFlag][] {
  return Object.entries(table).flatMap(([text, names]) =>
    names.map((name): [string, PeerFlag] => [name, { verdict, text }]),
  );
}
