/** The runs that are killed: each with the flags whose state is the hardest to save. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/**
 * @param root folder of the package
 * @param folder an empty folder for data
 * @returns scenarios: a name, the words of the run without its output folder, and, where the run might not do what the name
 * says, the range of a metric that shows in some record that it did
 */
export function scenariosIn(root, folder) {
  const [asked, answered] = ['grpo', 'sft'].map((kind) => demoData(root, kind, join(folder, kind)));
  const common = [
    ...['--model', join(root, 'assets/demo/checkpoint'), '--system', join(root, 'examples/train/grpo/prompt.txt')],
    ...['--max_steps', '6', '--save_steps', '1', '--save_total_limit', '2', '--logging_steps', '2'],
    ...['--split_dataset_ratio', '0.25', '--eval_steps', '3', '--add_version', 'false'],
    ...['--gradient_accumulation_steps', '2', '--resume_from_checkpoint', 'last'],
  ];
  const grpo = [
    ...['rlhf', '--dataset', asked, '--external_plugins', join(root, 'examples/train/grpo/plugin/plugin.ts')],
    ...['--num_generations', '4', '--per_device_train_batch_size', '4', '--num_iterations', '2'],
    ...['--log_completions', 'true', ...common],
  ];
  const lora = ['--tuner_type', 'lora', '--lora_rank', '4', '--lora_dropout', '0.1', '--learning_rate', '1e-2'];
  const rewards = ['--reward_funcs', 'ddapo_attention', 'external_r1v_acc', '--max_completion_length', '12'];
  return [
    { name: 'rlhf', words: [...grpo, ...rewards, '--learning_rate', '1e-4', '--beta', '0'] },
    {
      name: 'rlhf, LoRA, dynamic sampling',
      words: [...grpo, ...lora, ...REPLACED, '--beta', '0.1'],
      // Batches of prompts for one rollout: more than one, and fewer than the most that are tried.
      expects: { metric: 'num_gen_batches', above: 1, below: 7 },
    },
    {
      name: 'sft',
      words: ['sft', '--dataset', answered, '--per_device_train_batch_size', '2', '--learning_rate', '1e-4', ...common],
    },
    {
      name: 'sft, LoRA',
      words: ['sft', '--dataset', answered, '--per_device_train_batch_size', '2', ...lora, ...common],
    },
  ];
}

// --- internal ---

/** A reward by length alone: groups in which every completion is cut off are replaced. */
const REPLACED = [
  ...['--reward_funcs', 'soft_overlong', '--soft_max_length', '14', '--soft_cache_length', '6'],
  ...['--max_completion_length', '14', '--temperature', '1.3', '--dynamic_sample', 'true', '--max_resample_times', '6'],
];

function demoData(root, kind, output) {
  const program = join(root, 'dist/cli/main.js');
  const words = ['demo', 'data', '--kind', kind, '--rows', '8', '--seed', '3', '--output_dir', output];
  execFileSync(process.execPath, [program, ...words]);
  return join(output, 'data.jsonl');
}
