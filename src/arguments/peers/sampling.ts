/**
 * Peers' flags for sampling: inference engines and how text is generated.
 */
import { NOT_BUILT, type PeerTable } from './table.ts';

export const samplingPeers: PeerTable = {
  ignored: {
    'it configures vLLM, which is not used; the built-in engine samples': [
      'vllm_gpu_memory_utilization',
      'vllm_tensor_parallel_size',
      'vllm_pipeline_parallel_size',
      'vllm_enable_expert_parallel',
      'vllm_max_num_seqs',
      'vllm_max_model_len',
      'vllm_disable_custom_all_reduce',
      'vllm_enforce_eager',
      'vllm_limit_mm_per_prompt',
      'vllm_max_lora_rank',
      'vllm_enable_prefix_caching',
      'vllm_use_async_engine',
      'vllm_quantization',
      'vllm_reasoning_parser',
      'vllm_disable_cascade_attn',
      'vllm_mm_processor_cache_gb',
      'vllm_speculative_config',
      'vllm_engine_kwargs',
      'vllm_data_parallel_size',
      'vllm_mode',
      'vllm_enable_lora',
      'vllm_server_base_url',
      'vllm_server_host',
      'vllm_server_port',
      'vllm_server_timeout',
      'vllm_server_group_port',
      'vllm_server_pass_dataset',
      'enable_flattened_weight_sync',
      'sleep_level',
    ],
    'sampling and training share one copy of the weights, so nothing is moved': [
      'offload_model',
      'offload_optimizer',
      'move_model_batches',
    ],
    'the difference between sampling and a forward is always logged, as sampling/sampling_logp_difference': [
      'log_rollout_offpolicy_metrics',
    ],
    'it belongs to multi-turn rollouts, which are not supported': ['completion_length_limit_scope', 'gym_env'],
    'sampling always uses a KV cache': ['use_cache'],
    'an answer is always streamed to the terminal': ['stream'],
    'it belongs to --logprobs, which is not supported': ['top_logprobs'],
    'it belongs to --predict_with_generate, which is not supported': [
      'generation_max_length',
      'generation_num_beams',
      'generation_config',
    ],
  },
  refused: {
    'sampling uses the built-in batched engine; leave it out, and set --temperature, --top_p, --top_k, --max_completion_length':
      ['use_vllm', 'use_lmdeploy', 'infer_backend'],
    'sampling and training take turns; leave it out': ['async_generate'],
    'the format of an answer can be rewarded but not enforced: use --reward_funcs format, or write a reward for --external_plugins':
      ['structured_outputs_regex'],
    'beam search is not supported; leave it out': ['num_beams'],
    'a completion is a single turn without tool use; leave it out': [
      'multi_turn_scheduler',
      'max_turns',
      'use_gym_env',
      'agent_template',
    ],
    'leave it out; sightline score gives the log-probability of every token': ['logprobs'],
    'sft evaluates by its loss; ask a saved checkpoint with sightline infer': ['predict_with_generate'],
    [NOT_BUILT]: ['response_prefix'],
  },
  neutral: {
    infer_backend: ['pt', 'transformers'],
    num_beams: ['1'],
  },
};
