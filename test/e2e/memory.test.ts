/**
 * Memory of the real program: what a dry run predicts is what the run takes, and a run does not grow.
 */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { installPackage } from '../helpers/package.ts';
import { type FlagValues, readRun, runFolder, tinyFlags, tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();
const output = join(root, 'run');
const changes: FlagValues = {
  model: fileURLToPath(new URL('../../assets/demo/checkpoint', import.meta.url)),
  num_generations: '8',
  per_device_train_batch_size: '32',
  max_completion_length: '32',
  max_steps: '60',
  learning_rate: '1e-5',
  output_dir: output,
};
let program: string;
let flags: (more: FlagValues) => string[];
beforeAll(async () => {
  const project = await tinyProject(root, 40);
  program = installPackage(join(root, 'package'));
  flags = (more) => ['rlhf', ...tinyFlags(project, { ...changes, val_dataset: project.pictures, ...more })];
});

test('a dry run predicts the peak of the run, which does not grow from step 20 on', async () => {
  const dry = await runCli(program, flags({ dry_run: 'true' }));
  expect(dry.stderr).toBe('');
  const predicted = Number(/predicted peak memory ([\d.]+) GiB/.exec(dry.stdout)?.[1]);
  const run = await runCli(program, flags({}));
  expect(run.code).toBe(0);
  const { logs, last } = readRun(runFolder(output));
  const peak = Number(last.memory);
  expect(run.stdout).toContain(`memory      ${peak} GiB at most`);
  console.log(
    `predicted ${predicted} GiB, measured ${logs[0]!['memory(GiB)']} at step 1, ${logs[19]!['memory(GiB)']} at step 20, ${peak} in all`,
  );
  // The goal is a tenth; a machine under load collects garbage late.
  expect(Math.abs(predicted / peak - 1)).toBeLessThan(0.15);
  expect(peak - logs[19]!['memory(GiB)']!).toBeLessThan(0.05);
});
