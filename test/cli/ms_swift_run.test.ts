/**
 * `sightline rlhf --engine ms-swift` from words to exit, with a pretended Python.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { runCommandLine } from '../../src/cli/program.ts';
import { isAlive } from '../../src/util/is_alive.ts';
import { exitOf, startCli, written } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { swiftFixtures } from '../ms_swift/fixtures.ts';
import { pretendIo } from './io.ts';

const folder = temporaryFolder();
const { words: required, data } = swiftFixtures(folder);
let runs = 0;

async function run(fake: object, words: readonly string[] = [], signal?: AbortSignal) {
  const output = join(folder, `output-${runs++}`);
  const { io, text } = pretendIo(signal === undefined ? {} : { signal });
  const env = { PATH: process.env.PATH, FAKE: JSON.stringify(fake) };
  const line = ['rlhf', ...required, '--output_dir', output, ...words];
  const code = await runCommandLine(line, commands, { ...io, env });
  const names = existsSync(output) ? readdirSync(output) : [];
  const path = join(output, names.find((name) => name.startsWith('v0-')) ?? '');
  const json = (name: string) => JSON.parse(readFileSync(join(path, name), 'utf8'));
  return { code, path, json, names, ...text };
}

/** Soon: a process that has ended stays in the system's list until its parent has looked. */
async function gone(pids: readonly number[]): Promise<void> {
  for (let i = 0; i < 100 && pids.some(isAlive); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(pids.map(isAlive)).toEqual([false, false]);
}

describe('a run', () => {
  test('is shown as our own, and leaves its files', async () => {
    const { code, stdout, stderr, path, json } = await run({ gpus: 1 }, ['--deepspeed', 'false', '--system', 'Look.']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const { words, env } = json('record.json');
    expect(words.slice(0, 3)).toEqual(['-m', 'swift.cli.main', 'rlhf']);
    expect(words[words.indexOf('--output_dir') + 1]).toBe(path);
    expect(env).toMatchObject({ MIN_PIXELS: '784', MAX_PIXELS: '50176', ROOT_IMAGE_DIR: join(folder, 'rows') });
    expect(stdout).toMatch(/^sightline \d\S* rlhf --engine ms-swift$/m);
    expect(stdout).toContain('Qwen, 1.53 M parameters, 945 k trained (61.6%)');
    expect(stdout).toContain('data     32 rows');
    expect(stdout).toMatch(/^step 1\/2 .*reward 0\.5 .*DDAPOAttentionORM -1\.25/m);
    expect(stdout).toContain('warning: something to know');
    expect(stdout).toMatch(/^done: 2 of 2 steps/m);
    expect(stdout).toMatch(/^rewards\/DDAPOAttentionORM\/mean +-1\.25 +-1\.5$/m);
    expect(stdout).toContain('memory      3.5 GiB at most');
    expect(stdout).toContain(`sightline infer --model ${path}/checkpoint-2 --system ${path}/system.txt --image FILE`);
    expect(json('args.json')).toEqual({ written_by: 'ms-swift' });
    const args = json('sightline_args.json');
    expect(args).toMatchObject({ engine: 'ms-swift', deepspeed: 'false', reward_funcs: ['ddapo_attention'] });
    expect(args._sightline).toMatchObject({ command: 'rlhf', output_dir: path });
    expect(readFileSync(join(path, 'ms_swift.log'), 'utf8')).toContain('Saving model checkpoint');
  });

  test('of an adapter says how to use it', async () => {
    const { stdout } = await run({}, ['--tuner_type', 'lora']);
    expect(stdout).toMatch(/sightline infer --adapters \S+checkpoint-2 --image FILE/);
    const other = await run({}, ['--tuner_type', 'boft']);
    expect(other.stdout).toMatch(/\n {2}swift export --adapters \S+checkpoint-2 --merge_lora true/);
  });

  test('on a machine after the first one leaves the files to that', async () => {
    const words = ['--nnodes', '2', '--node_rank', '1', '--master_addr', 'host', '--add_version', 'false'];
    const { code, names } = await run({}, words);
    expect(code).toBe(0);
    expect(names).toContain('ms_swift-node1.log');
    expect(names).not.toContain('sightline_args.json');
  });

  test('that fails ends with its exit code, its reason and the path of its log', async () => {
    const { code, stderr, path } = await run({ mode: 'fail' });
    expect(code).toBe(7);
    expect(stderr).toBe(
      `error: ms-swift ended with exit code 7: ValueError: not so\n  at: ${path}/ms_swift.log\n  fix: raised at a.py:7; read the log\n`,
    );
  });

  test('that is killed is told as that', async () => {
    const { code, stderr } = await run({ mode: 'silent' });
    expect(code).toBe(137);
    expect(stderr).toContain('error: ms-swift was ended by signal 9; the last lines of its log:\n');
    expect(stderr).toContain('fix: memory may have run out');
  });

  test('that cannot begin leaves nothing', async () => {
    const { code, stderr, names } = await run({ versions: { 'ms-swift': null } });
    expect(code).toBe(2);
    expect(stderr).toContain('error: not installed: ms-swift');
    expect(names).toEqual([]);
  });

  test('with a reward that nobody has', async () => {
    const { code, stderr } = await run({}, ['--reward_funcs', 'ddapo_atention']);
    expect(code).toBe(2);
    expect(stderr).toContain('did you mean "ddapo_attention"?');
  });
});

describe('--dry_run true', () => {
  test('prints what can be pasted, and runs nothing', async () => {
    const { code, stdout, stderr, names } = await run({}, [
      '--dry_run',
      'true',
      '--system',
      "It's red",
      '--log_entropy',
    ]);
    expect(code).toBe(0);
    expect(names).toEqual([]);
    expect(stderr).toBe('note: torch sees no GPU: ms-swift trains on the CPU, in float32\n');
    expect(stdout).toMatch(/^MIN_PIXELS=784 \\\n {2}MAX_PIXELS=50176 \\\n/);
    expect(stdout).toMatch(/\n {2}\S+python -m swift\.cli\.main rlhf \\\n/);
    expect(stdout).toContain(`\n  --dataset ${data} \\\n`);
    expect(stdout).toContain("\n  --system 'It'\\''s red' \\\n");
    expect(stdout).toMatch(/--add_version true \\\n/);
    expect(stdout).toMatch(/--log_entropy\n$/);
  });

  test('needs no ms-swift', async () => {
    const { code, stdout, stderr } = await run({ versions: { 'ms-swift': null } }, ['--dry_run', 'true']);
    expect(code).toBe(0);
    expect(stderr).toContain('warning: not installed: ms-swift');
    expect(stdout).toContain('--torch_dtype float32');
  });

  test('needs no Python', async () => {
    const words = ['--dry_run', 'true', '--engine_python', join(folder, 'nowhere')];
    const { code, stdout, stderr } = await run({}, words);
    expect(code).toBe(0);
    expect(stderr).toContain('warning: cannot run ');
    expect(stdout).not.toContain('--torch_dtype');
  });
});

describe('signals', () => {
  test.each([
    ['SIGINT', 'SIGINT'],
    ['SIGTERM', 'SIGTERM'],
    ['a closed pipe', 'SIGTERM'],
  ])('%s reaches all of its processes, and none is left', async (by, expected) => {
    const run = new AbortController();
    const { io, text } = pretendIo({ signal: run.signal });
    const output = join(folder, `stopped by ${by}`);
    const env = { PATH: process.env.PATH, FAKE: JSON.stringify({ mode: 'hang' }) };
    const ended = runCommandLine(['rlhf', ...required, '--output_dir', output, '--add_version', 'false'], commands, {
      ...io,
      env,
    });
    while (!text.stdout.includes('step 1/2')) await new Promise((resolve) => setTimeout(resolve, 20));
    const pids: number[] = JSON.parse(readFileSync(join(output, 'pids.json'), 'utf8'));
    expect(pids.map(isAlive)).toEqual([true, true]);
    run.abort(new DOMException(`stopped by ${by}`, 'AbortError'));
    await ended;
    await gone(pids);
    expect(readFileSync(join(output, 'signal.txt'), 'utf8')).toBe(expected);
    expect(text.stdout).toMatch(/^stopped: 1 of 2 steps/m);
  });

  test('a second one quits at once, and takes them along', async () => {
    const output = join(folder, 'twice');
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const words = [main, 'rlhf', ...required, '--output_dir', output, '--add_version', 'false'];
    const { child, text } = startCli('--import', ['jiti/register', ...words], {
      env: { FAKE: JSON.stringify({ mode: 'hang', stubborn: true }) },
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    await written(child, text, /step 1\/2/);
    const pids: number[] = JSON.parse(readFileSync(join(output, 'pids.json'), 'utf8'));
    child.kill('SIGINT');
    await written(child, text, /stopping cleanly/);
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(130);
    await gone(pids);
  });
});
