/**
 * A plugin with a flag and a signal of its own, in runs of the command: parsed, recorded, logged, shown, run again.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { runCommandLine } from '../../src/cli/program.ts';
import { rlhf } from '../../src/cli/rlhf.ts';
import { orms } from '../../src/rewards/registry.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  readLines,
  readRun,
  runFolder,
  type TinyProject,
  type TinyRun,
  tinyProject,
  tinyRun,
} from '../helpers/tiny.ts';

const root = temporaryFolder();
const file = join(root, 'sizes.ts');
let project: TinyProject;
let run: TinyRun;
beforeAll(async () => {
  project = await tinyProject(root);
  writeFileSync(
    file,
    `import { orms, type OrmConstructor, type RewardKwargs, type RewardArgs } from 'sightline';

class Sizes {
  static readonly flags = {
    size_scale: { kind: 'number', default: 1, above: 0, help: 'What a character is worth.' },
  } as const;
  static readonly signals = [
    { column: 'size', metric: 'mine/size', watch: { pays: 'high', turned: 'longer texts now score worse' } },
  ] as const;
  private readonly scale: number;

  constructor(args: RewardArgs) {
    this.scale = args.size_scale as number;
  }

  call(completions: readonly string[], { log_extra }: RewardKwargs): number[] {
    const sizes = completions.map((text) => text.length);
    log_extra('size', sizes);
    return sizes.map((size) => this.scale * size);
  }
}

orms.sizes = Sizes satisfies OrmConstructor;
`,
  );
  run = await tinyRun(project, 'first', {
    ...{ external_plugins: [file, project.letters], reward_funcs: ['sizes', 'letters'], size_scale: '0.5' },
    ...{ val_dataset: project.pictures, eval_strategy: 'steps', eval_steps: '2' },
  });
});
afterAll(() => {
  delete orms.sizes;
});

const argumentsOf = (folder: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder, 'args.json'), 'utf8'));

test('the flag reaches the reward and args.json', () => {
  expect(argumentsOf(run.folder)).toMatchObject({ size_scale: 0.5, ddapo_group_norm: false });
  expect(run.stdout).toMatch(/^given .*size_scale 0\.5/m);
  expect(run.completions.sizes).toEqual(run.completions.completion!.map((text) => 0.5 * String(text).length));
});

test('the signal is a column, is averaged in training and evaluation, correlated with the other reward, and shown', () => {
  const sizes = run.completions.size as number[];
  expect(sizes).toEqual(run.completions.completion!.map((text) => String(text).length));
  for (const [i, log] of run.logs.entries()) {
    const mean = sizes.slice(8 * i, 8 * (i + 1)).reduce((a, b) => a + b) / 8;
    expect(log['mine/size_mean']).toBeCloseTo(mean, 7);
    expect(log['rewards/Sizes/mean']).toBeCloseTo(mean / 2, 7);
    expect(log['mine/size_std']).toBeCloseTo(2 * log['rewards/Sizes/std']!, 7);
    expect(Math.abs(log['mine/corr_size_Letters']!)).toBeLessThanOrEqual(1);
    expect(log).not.toHaveProperty('mine/corr_size_Sizes');
  }
  const evaluation = readLines<Record<string, number>>(join(run.folder, 'logging.jsonl')).find(
    (record) => 'eval_reward' in record,
  )!;
  expect(evaluation['eval_rewards/Sizes/mean']).toBeCloseTo(evaluation['eval_mine/size_mean']! / 2, 7);
  expect(run.stdout).toMatch(/^step 1\/2 .* \| size [\d.]+ \| length /m);
  expect(run.stdout).toMatch(/^evaluation at step 2: .* \| size [\d.]+ \| length /m);
  expect(run.stdout).toMatch(/^mine\/size_mean +[\d.]+ +[\d.]+$/m);
  expect(run.stdout).toMatch(/^mine\/corr_size_Letters +-?[\d.e-]+ +-?[\d.e-]+$/m);
});

test('args.json runs it again', async () => {
  delete orms.sizes;
  const parent = join(root, 'again');
  await rlhf([join(run.folder, 'args.json'), '--output_dir', parent], pretendIo().io);
  expect(argumentsOf(runFolder(parent)).size_scale).toBe(0.5);
  expect(readRun(runFolder(parent)).completions.sizes).toEqual(run.completions.sizes);
});

test.each([
  ['rlhf', '--external_plugins', file, '--help'],
  ['help', 'rlhf', `--external-plugins=${file}`],
])('%s %s has the flag of the plugin', async (...words) => {
  delete orms.sizes;
  const { io, text } = pretendIo();
  expect(await runCommandLine(words, commands, io)).toBe(0);
  expect(text.stdout).toContain(
    '\nReward sizes:\n  --size_scale NUMBER             What a character is worth. (default: 1)\n',
  );
});
