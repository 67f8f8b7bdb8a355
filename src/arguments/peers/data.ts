/**
 * Peers' flags for data: where rows come from, their order, and the template.
 */
import type { PeerTable } from './table.ts';

export const dataPeers: PeerTable = {
  ignored: {
    'the loader of rows and images has no such setting': [
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
      'custom_dataset_info',
      'label_names',
    ],
    'rows are never padded, so sorting them by length saves nothing': [
      'group_by_length',
      'length_column_name',
      'sortish_sampler',
      'padding_side',
      'padding_free',
    ],
    'the order of evaluation rows does not matter: each counts once': ['val_dataset_shuffle'],
    'it belongs to --packing, which is not supported': ['packing_length', 'packing_num_proc', 'packing_strategy'],
    'it belongs to --interleave_prob, which is not supported': ['stopping_strategy'],
    'it belongs to --loss_scale, which is not supported': ['is_binary_loss_scale'],
    'chat templates of Qwen-VL instruct models have no thinking part': [
      'preserve_thinking',
      'add_non_thinking_prefix',
      'disable_ignore_empty_think',
    ],
    'arguments come from the command line and --config': ['load_args', 'load_data_args', 'ignore_args_error'],
  },
  refused: {
    'use --dataset_shuffle false to keep the order of the files': [
      'train_dataloader_shuffle',
      'train_sampling_strategy',
    ],
    'rows of a batch are always packed without padding; raise --per_device_train_batch_size instead': ['packing'],
    'columns are always found by their names; give the others new names with --columns': [
      'disable_auto_column_mapping',
    ],
    'give the rows themselves to --dataset and --val_dataset': ['cached_dataset', 'cached_val_dataset'],
    'put the rows into one file in the proportions you want': ['interleave_prob'],
    'chat templates of Qwen-VL instruct models have no thinking part; ask for one with --system': ['enable_thinking'],
    'training uses the last assistant message with weight 1; leave it out': ['loss_scale'],
    'only rewards can be registered, with --external_plugins FILE.ts; models, templates and datasets cannot': [
      'custom_register_path',
    ],
  },
  neutral: {
    train_dataloader_shuffle: ['true'],
    train_sampling_strategy: ['random'],
    loss_scale: ['last_round'],
  },
};
