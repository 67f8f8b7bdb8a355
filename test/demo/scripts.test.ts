import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

// The shell scripts run in a copy of the project whose command line writes down how it was called.
const STUB = `
const fs = require('node:fs');
const words = process.argv.slice(2);
const of = (flag) => { const i = words.lastIndexOf(flag); return i < 0 ? undefined : words[i + 1]; };
const { DDAPO_GROUP_NORM } = process.env;
fs.appendFileSync(process.env.CALLS, JSON.stringify({ words, DDAPO_GROUP_NORM, cwd: process.cwd() }) + '\\n');
const out = of('--output_dir');
if (out !== undefined) fs.mkdirSync(out, { recursive: true });
if (words[1] === 'data') fs.writeFileSync(out + '/data.jsonl', '');
if (words[0] === 'rlhf') {
  const status = process.env.STOPPED === out ? 'interrupted' : 'completed';
  fs.writeFileSync(out + '/logging.jsonl', '{"loss":1}\\n{"status":"' + status + '","log_history":[]}\\n');
  if (status === 'interrupted') process.exit(143);
}
if (words[0] === 'sft') for (const n of [90, 300]) fs.mkdirSync(out + '/checkpoint-' + n);
if (words[0] === 'sft' && process.env.SLOW) {
  process.on('SIGTERM', () => process.exit(143));
  setInterval(() => {}, 1000);
}
if (words[1] === 'checkpoint') fs.writeFileSync(out + '/config.json', '');
`;

interface Call {
  readonly words: string[];
  readonly DDAPO_GROUP_NORM?: string;
  readonly cwd: string;
}

let base: string;
let root: string;
let cwd: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'demo scripts '));
  root = join(base, 'a project');
  cwd = join(base, 'some where');
  const source = fileURLToPath(new URL('../..', import.meta.url));
  cpSync(join(source, 'examples', 'train', 'grpo'), join(root, 'examples', 'train', 'grpo'), { recursive: true });
  cpSync(join(source, 'scripts', 'demo'), join(root, 'scripts', 'demo'), { recursive: true });
  mkdirSync(join(root, 'dist', 'cli'), { recursive: true });
  writeFileSync(join(root, 'dist', 'cli', 'main.js'), STUB);
  mkdirSync(cwd);
});
afterEach(() => rmSync(base, { recursive: true }));

function script(path: string, words: readonly string[] = [], env: Record<string, string> = {}) {
  const calls = join(base, 'calls.jsonl');
  rmSync(calls, { force: true });
  const { status, stdout, stderr } = spawnSync('bash', [join(root, path), ...words], {
    cwd,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, CALLS: calls, ...env },
  });
  const lines = existsSync(calls) ? readFileSync(calls, 'utf8').trimEnd().split('\n') : [];
  return { status, stdout, stderr, calls: lines.map((line): Call => JSON.parse(line)) };
}

/** The words after the last mention of a flag, up to the next flag. */
function valuesOf({ words }: Call, flag: string): string[] {
  const after = words.slice(words.lastIndexOf(flag) + 1);
  const end = after.findIndex((word) => word.startsWith('--'));
  return words.includes(flag) ? after.slice(0, end < 0 ? undefined : end) : [];
}

const GRPO = 'examples/train/grpo/run_grpo_with_ddapo.sh';
const ARMS = 'examples/train/grpo/compare_arms.sh';
const MAKE = 'scripts/demo/make_checkpoint.sh';

describe('run_grpo_with_ddapo.sh', () => {
  test('draws the demo data once and trains with the original flags', () => {
    const { status, stderr, calls } = script(GRPO);
    expect([status, stderr]).toEqual([0, '']);
    expect(calls.map(({ words }) => words.slice(0, 2).join(' '))).toEqual([
      'demo data',
      'demo data',
      'rlhf --rlhf_type',
    ]);
    const run = calls[2]!;
    expect(run.cwd).toBe(cwd);
    expect(valuesOf(run, '--reward_funcs')).toEqual(['ddapo_attention', 'external_r1v_acc', 'format']);
    expect(valuesOf(run, '--reward_weights')).toEqual(['1', '4', '1']);
    expect(valuesOf(run, '--model')).toEqual([join(root, 'assets/demo/checkpoint')]);
    expect(valuesOf(run, '--system')).toEqual([join(root, 'examples/train/grpo/prompt.txt')]);
    expect(valuesOf(run, '--dataset')).toEqual(['output/demo_data/grpo/data.jsonl']);
    expect(valuesOf(run, '--val_dataset')).toEqual(['output/demo_data/eval/data.jsonl']);
    expect(existsSync(join(cwd, 'output', 'demo_data', 'eval', 'data.jsonl'))).toBe(true);
    expect(script(GRPO).calls).toHaveLength(1);
  });

  test('the environment and later flags win', () => {
    const { calls } = script(GRPO, ['--learning_rate', '1e-6', '--run_name', 'two words'], {
      MODEL: 'my model',
      DATASET: 'my rows.jsonl',
      OUTPUT_DIR: 'my out',
      SYSTEM: 'Be brief.',
      REWARD_WEIGHTS: '40 4 1',
    });
    const [run] = calls;
    expect(calls).toHaveLength(1);
    expect(valuesOf(run!, '--model')).toEqual(['my model']);
    expect(valuesOf(run!, '--dataset')).toEqual(['my rows.jsonl']);
    expect(valuesOf(run!, '--val_dataset')).toEqual([]);
    expect(valuesOf(run!, '--eval_strategy')).toEqual([]);
    expect(valuesOf(run!, '--output_dir')).toEqual(['my out']);
    expect(valuesOf(run!, '--system')).toEqual(['Be brief.']);
    expect(valuesOf(run!, '--reward_weights')).toEqual(['40', '4', '1']);
    expect(run!.words.slice(-4)).toEqual(['--learning_rate', '1e-6', '--run_name', 'two words']);
  });

  test('a node that is too old is named before anything is done', () => {
    const bin = join(base, 'old bin');
    mkdirSync(bin);
    // Old enough to fail the version check, which runs as `node -e`.
    writeFileSync(join(bin, 'node'), '#!/bin/sh\n[ "$1" = --version ] && echo v18.20.0 && exit 0\nexit 1\n');
    chmodSync(join(bin, 'node'), 0o755);
    const { status, stderr, calls } = script(GRPO, [], { PATH: `${bin}:${process.env.PATH}` });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: node v18\.20\.0 is too old, expected Node\.js 20\.19 or newer\n {2}fix: /);
    expect(calls).toEqual([]);
  });
});

describe('compare_arms.sh', () => {
  test('runs every arm with every seed on the same rows, then sums up; finished runs are kept', () => {
    const { status, calls } = script(ARMS, ['--max_steps', '2'], { SEEDS: '0 1' });
    expect(status).toBe(0);
    const runs = calls.filter(({ words }) => words[0] === 'rlhf');
    const described = runs.map((run) => [
      valuesOf(run, '--output_dir').join(' '),
      valuesOf(run, '--reward_weights').join(' '),
      run.DDAPO_GROUP_NORM,
      valuesOf(run, '--seed').join(' '),
    ]);
    expect(described.slice(0, 5)).toEqual([
      ['output/arms/none/seed-0', '0 4 1', '0', '0'],
      ['output/arms/plain_1/seed-0', '1 4 1', '0', '0'],
      ['output/arms/plain_40/seed-0', '40 4 1', '0', '0'],
      ['output/arms/group_0.25/seed-0', '0.25 4 1', '1', '0'],
      ['output/arms/group_1/seed-0', '1 4 1', '1', '0'],
    ]);
    expect(runs).toHaveLength(10);
    expect(new Set(runs.map((run) => valuesOf(run, '--dataset').join())).size).toBe(1);
    expect(runs.every(({ words }) => words.slice(-2).join(' ') === '--max_steps 2')).toBe(true);
    expect(calls.at(-1)!.words).toEqual([
      'demo',
      'summarise',
      '--runs',
      'output/arms',
      '--arms',
      'none',
      'plain_1',
      'plain_40',
      'group_0.25',
      'group_1',
    ]);
    expect(existsSync(join(cwd, 'output/arms/none/seed-1/logging.jsonl'))).toBe(true);
    rmSync(join(cwd, 'output/arms/group_1/seed-1'), { recursive: true });
    const again = script(ARMS, [], { SEEDS: '0 1' }).calls.filter(({ words }) => words[0] === 'rlhf');
    expect(again.map((run) => valuesOf(run, '--output_dir'))).toEqual([['output/arms/group_1/seed-1']]);
  });

  test('a run that was stopped ends the comparison, and is made again by the next', () => {
    const STOPPED = 'output/arms/plain_1/seed-0';
    const first = script(ARMS, [], { SEEDS: '0', ARMS: 'none plain_1 group_1', STOPPED });
    expect(first.status).toBe(143);
    const again = script(ARMS, [], { SEEDS: '0', ARMS: 'none plain_1 group_1' });
    expect(again.status).toBe(0);
    const runs = again.calls.filter(({ words }) => words[0] === 'rlhf');
    expect(runs.flatMap((run) => valuesOf(run, '--output_dir'))).toEqual([STOPPED, 'output/arms/group_1/seed-0']);
  });

  test('an unknown arm is refused before any run', () => {
    const { status, stderr, calls } = script(ARMS, [], { ARMS: 'none strong' });
    expect(status).toBe(2);
    expect(stderr).toContain('error: no arm "strong"');
    expect(calls.filter(({ words }) => words[0] === 'rlhf')).toEqual([]);
  });
});

describe('make_checkpoint.sh', () => {
  test('goes from rows to a packed checkpoint, and takes the last one', () => {
    const { status, calls } = script(MAKE, [], { WORK: 'my work', TARGET: 'my target', SEED: '3' });
    expect(status).toBe(0);
    const commands = calls.map(({ words }) =>
      words
        .filter((word) => /^[a-z]+$/.test(word))
        .slice(0, 2)
        .join(' '),
    );
    expect(commands).toEqual(['demo data', 'demo checkpoint', 'sft full', 'demo pack']);
    expect(calls.slice(0, 3).every((call) => valuesOf(call, '--seed').join() === '3')).toBe(true);
    expect(valuesOf(calls[0]!, '--rows')).toEqual(['9600']);
    expect(valuesOf(calls[3]!, '--model')).toEqual(['my work/run/checkpoint-300']);
    expect(valuesOf(calls[3]!, '--output_dir')).toEqual(['my target']);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s ends it with what it has started, and leaves nothing', async (signal, code) => {
    const temporary = join(base, 'temporary');
    const calls = join(base, 'calls.jsonl');
    mkdirSync(temporary);
    const child = spawn('bash', [join(root, MAKE)], {
      cwd,
      env: { PATH: process.env.PATH, CALLS: calls, TMPDIR: temporary, TARGET: 'my target', SLOW: '1' },
    });
    let told = '';
    child.stderr.on('data', (text) => {
      told += text;
    });
    const ended = once(child, 'close');
    while (!existsSync(calls) || !readFileSync(calls, 'utf8').includes('"sft"')) await setTimeout(20);
    expect(readdirSync(temporary)).toHaveLength(1);
    child.kill(signal);
    expect(await ended).toEqual([code, null]);
    expect(told).toMatch(/^making my target: 9600 rows, then 300 steps of training; about 5 minutes/);
    expect(told).toContain(`${signal}: stopped; my target was not written`);
    expect(readdirSync(temporary)).toEqual([]);
    expect(readdirSync(cwd)).toEqual([]);
  });

  test('an existing target is left alone', () => {
    mkdirSync(join(cwd, 'my target'));
    const { status, stderr, calls } = script(MAKE, [], { TARGET: 'my target' });
    expect([status, calls]).toEqual([2, []]);
    expect(stderr).toContain('the target exists: my target');
  });
});
