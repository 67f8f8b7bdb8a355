/**
 * Measures the time from the start of the program to the end of its first step, on the embedded checkpoint.
 * Runs the command of the example script, without evaluations.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { generateDataset } from '../src/demo/dataset.ts';

export interface StartupSample {
  readonly seconds: number;
}

/** Paths relative to the build, and to the repository. */
const inBuild = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const inRepository = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** Interval at which the log is polled. */
const POLL_MS = 5;

/** Draws data. The returned function runs the program once on it. */
export async function prepareStartup(folder: string): Promise<(repetition: number) => Promise<StartupSample>> {
  const { data, prompt } = await generateDataset({ kind: 'grpo', rows: 320, seed: 0, outputDir: join(folder, 'data') });
  return async (repetition) => {
    const output = join(folder, `run-${repetition}`);
    const log = join(output, 'logging.jsonl');
    const start = performance.now();
    const child = spawn(process.execPath, [inBuild('src/cli/main.js'), 'rlhf', ...flags(data, prompt, output)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    while (child.exitCode === null && !logged(log)) await sleep(POLL_MS);
    const seconds = (performance.now() - start) / 1000;
    if ((await ended) !== 0 || !logged(log)) throw new Error(`the first step was not logged:\n${errors}`);
    return { seconds };
  };
}

// --- internal ---

const logged = (file: string): boolean => existsSync(file) && readFileSync(file, 'utf8').includes('\n');

/** The flags of examples/train/grpo/run_grpo_with_ddapo.sh. */
const flags = (data: string, prompt: string, output: string): string[] =>
  [
    ['--rlhf_type', 'grpo'],
    ['--model', inRepository('assets/demo/checkpoint')],
    ['--external_plugins', inRepository('examples/train/grpo/plugin/plugin.ts')],
    ['--reward_funcs', 'ddapo_attention', 'external_r1v_acc', 'format'],
    ['--reward_weights', '1', '4', '1'],
    ['--dataset', data],
    ['--system', prompt],
    ['--num_generations', '8'],
    ['--per_device_train_batch_size', '64'],
    ['--gradient_accumulation_steps', '1'],
    ['--max_completion_length', '32'],
    ['--learning_rate', '3e-5'],
    ['--max_steps', '1'],
    ['--logging_steps', '1'],
    ['--save_strategy', 'no'],
    ['--report_to', 'tensorboard'],
    ['--output_dir', output],
    ['--add_version', 'false'],
  ].flat();
