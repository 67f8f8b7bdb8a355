/**
 * Peers' flags for the machine: processes, devices, precision, memory and compilation.
 */
import type { PeerTable } from './table.ts';

export const machinePeers: PeerTable = {
  ignored: {
    'weights and arithmetic are float32': ['torch_dtype', 'bf16', 'fp16', 'tf32', 'bf16_full_eval', 'fp16_full_eval'],
    'training runs in one process on the CPU, which needs no such setting': [
      'use_cpu',
      'local_rank',
      'nproc_per_node',
      'device_map',
      'max_memory',
      'ddp_timeout',
      'ddp_backend',
      'ddp_find_unused_parameters',
      'ddp_bucket_cap_mb',
      'ddp_broadcast_buffers',
      'ddp_static_graph',
      'accelerator_config',
      'average_tokens_across_devices',
      'log_on_each_node',
      'log_level_replica',
      'save_on_each_node',
      'ray_exp_name',
      'device_groups',
      'enable_npu_model_patch',
      'torch_empty_cache_steps',
    ],
    'it belongs to --engine ms-swift': ['engine_python', 'master_addr', 'master_port'],
    'it belongs to DeepSpeed or FSDP, which are not used': [
      'zero_hpz_partition_size',
      'deepspeed_autotp_size',
      'ds3_gather_for_generation',
      'fsdp_config',
    ],
    'ONNX Runtime compiles every graph once': ['torch_compile', 'torch_compile_backend', 'torch_compile_mode'],
    'token log-probabilities are always computed in chunks': ['liger_kernel_config', 'use_logits_to_keep'],
    'it belongs to other ways of quantising than that of --quant_bits': [
      'hqq_axis',
      'bnb_4bit_compute_dtype',
      'bnb_4bit_quant_type',
      'bnb_4bit_use_double_quant',
      'bnb_4bit_quant_storage',
    ],
    'the vision tower follows --gradient_checkpointing': [
      'vit_gradient_checkpointing',
      'gradient_checkpointing_kwargs',
      'activation_checkpointing_kwargs',
    ],
    'runs with the same seed are always identical': ['full_determinism'],
    'memory(GiB) is always logged': ['skip_memory_metrics'],
  },
  refused: {
    'training runs in one process on one machine; leave it out, or train with --engine ms-swift': [
      'nnodes',
      'node_rank',
    ],
    'training runs in one process on one machine; leave it out. --gradient_checkpointing true and a smaller --per_device_train_batch_size save memory':
      [
        'deepspeed',
        'fsdp',
        'parallelism_config',
        'sequence_parallel_size',
        'tensor_model_parallel_size',
        'pipeline_model_parallel_size',
        'use_ray',
      ],
    'token log-probabilities are always computed in chunks; leave it out': ['use_liger_kernel'],
    'weights are quantised in one way, by blocks of 64 with a scale each; leave it out, and give --quant_bits 4 or 8': [
      'quant_method',
      'load_in_4bit',
      'load_in_8bit',
    ],
    'use --gradient_checkpointing': ['activation_checkpointing'],
    'measure the memory of a batch with sightline rlhf --dry_run true, and set --per_device_train_batch_size accordingly':
      ['auto_find_batch_size'],
  },
  neutral: {
    nnodes: ['1'],
    node_rank: ['0'],
    sequence_parallel_size: ['1'],
    tensor_model_parallel_size: ['1'],
    pipeline_model_parallel_size: ['1'],
  },
};
