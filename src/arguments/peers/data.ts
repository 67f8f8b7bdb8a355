/**
 * Peers' flags of data: where rows come from, in which order, and what the template makes of them.
 */
import type { PeerTable } from './table.ts';

export const dataPeers: PeerTable = {
  ignored: {
    'rows and images are read by a loader that has no such setting': [
      'dataloader_num_workers',
      'dataloader_persistent_workers',
      'dataloader_prefetch_factor',
      'dataloader_pin_memory',
      'dataloader_drop_last',
      'dataloader_multiprocessing_context',
      'dataloader_in_order',
      'dataset_num_proc',
      'lazy_tokenize',
      'load_from_cache_file',
      'download_mode',
      'streaming',
      'shuffle_buffer_size',
      'remove_unused_columns',
      'disable_auto_column_mapping',
      'custom_dataset_info',
      'label_names',
    ],
    'rows are never padded, so their order by length saves nothing': [
      'group_by_length',
      'length_column_name',
      'sortish_sampler',
      'padding_side',
      'padding_free',
    ],
    'every evaluation row counts once, whatever their order': ['val_dataset_shuffle'],
    'it belongs to --packing, which is not built': ['packing_length', 'packing_num_proc', 'packing_strategy'],
    'it belongs to --interleave_prob, which is not built': ['stopping_strategy'],
    'it belongs to --loss_scale, which is not built': ['is_binary_loss_scale'],
    'chat templates of Qwen-VL instruct models have no thinking part': [
      'preserve_thinking',
      'add_non_thinking_prefix',
      'disable_ignore_empty_think',
    ],
    'arguments come from the command line and --config': ['load_args', 'load_data_args', 'ignore_args_error'],
  },
  refused: {
    'use --dataset_shuffle false for rows in the order of the files': [
      'train_dataloader_shuffle',
      'train_sampling_strategy',
    ],
    'rows go one behind another without padding as it is; raise --per_device_train_batch_size instead': ['packing'],
    'use the column names `messages` and `images` in the dataset': ['columns'],
    'give JSONL files to --dataset and --val_dataset': ['cached_dataset', 'cached_val_dataset'],
    'put the rows into one file in the proportions you want': ['interleave_prob'],
    'chat templates of Qwen-VL instruct models have no thinking part; ask for one with --system': ['enable_thinking'],
    'the last assistant message is learned with weight 1; leave it out': ['loss_scale'],
    'rewards are registered with --external_plugins FILE.ts; models, templates and datasets cannot be': [
      'custom_register_path',
    ],
  },
  neutral: {
    train_dataloader_shuffle: ['true'],
    train_sampling_strategy: ['random'],
    loss_scale: ['last_round'],
  },
};
