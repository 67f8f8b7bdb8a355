import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

function start(script: string, words: readonly string[]) {
  const child = spawn(process.execPath, ['--import', 'jiti/register', script, ...words], { cwd: root });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    text.stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    text.stderr += chunk.toString();
  });
  return { child, text };
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

const fixture = 'test/cli/fixtures/program.ts';

describe('signals', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s lets the run save, then exits with %d', async (signal, code) => {
    const { child, text } = start(fixture, ['wait']);
    await once(child.stdout, 'data');
    child.kill(signal);
    expect(await exitOf(child)).toBe(code);
    expect(text.stdout).toBe('ready\nsaved\n');
    expect(text.stderr).toContain(`${signal}: stopping cleanly`);
  });

  test('SIGHUP lets a run on a terminal save, then exits with 129', async () => {
    const command = `echo $$; exec ${process.execPath} --import jiti/register ${fixture} wait`;
    const child = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], { cwd: root });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    while (!text.includes('ready')) await once(child.stdout, 'data');
    process.kill(Number.parseInt(text, 10), 'SIGHUP');
    expect(await exitOf(child)).toBe(129);
    expect(text).toMatch(/SIGHUP: stopping cleanly[\s\S]*saved/);
  });

  test('SIGHUP does not reach a run without a terminal, as under nohup', async () => {
    const { child, text } = start(fixture, ['wait']);
    await once(child.stdout, 'data');
    child.kill('SIGHUP');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(child.exitCode ?? child.signalCode).toBeNull();
    child.kill('SIGTERM');
    expect(await exitOf(child)).toBe(143);
    expect(text.stdout).toBe('ready\nsaved\n');
    expect(text.stderr).not.toContain('SIGHUP');
  });

  test('the second one quits at once', async () => {
    const { child } = start(fixture, ['stuck']);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    await once(child.stderr, 'data');
    child.kill('SIGTERM');
    expect(await exitOf(child)).toBe(143);
  });
});

test.each([
  ['standard output', 'stdout', 'stderr'],
  ['standard error', 'stderr', 'stdout'],
] as const)('a closed pipe on %s lets the run save, then ends it with 141, without a word', async (_, closed, left) => {
  const { child, text } = start(fixture, ['reader', closed]);
  await once(child[closed], 'data');
  child[closed].destroy();
  expect(await exitOf(child)).toBe(141);
  expect(text[left]).toBe('saved\n');
});

test.each([['--help'], ['rlhf', '--help'], ['demo', '--help']])('a closed pipe is no error: %j', async (...words) => {
  const { child, text } = start('src/cli/main.ts', words);
  child.stdout.destroy();
  expect(await exitOf(child)).toBe(141);
  expect(text.stderr).toBe('');
});

test.skipIf(!existsSync('/dev/full')).each([
  ['standard output', 'stdout', 'stderr'],
  ['standard error', 'stderr', 'stdout'],
] as const)('%s on a full disk does not end a run, and is told once', async (name, full, left) => {
  const fd = openSync('/dev/full', 'r+');
  try {
    const stdio = ['ignore', full === 'stdout' ? fd : 'pipe', full === 'stderr' ? fd : 'pipe'] as const;
    const words = ['--import', 'jiti/register', fixture, 'chatter', full];
    const child = spawn(process.execPath, words, { cwd: root, stdio: [...stdio] });
    let text = '';
    child[left]!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    expect(await exitOf(child)).toBe(0);
    expect(text.match(/warning: .*/g)).toEqual([
      `warning: ${name} cannot be written; the run continues without it: ENOSPC: no space left on device, write`,
    ]);
    expect(text).toContain('went on to the end');
  } finally {
    closeSync(fd);
  }
});

describe('what nobody waits for', () => {
  test.each(['rejection', 'callback'])('a stray %s lets the run save, then ends it with 1', async (kind) => {
    const { child, text } = start(fixture, ['stray', kind]);
    expect(await exitOf(child)).toBe(1);
    expect(text.stdout).toBe('saved\n');
    expect(text.stderr).toMatch(
      /^error: an error was thrown outside of any reward call: left alone\n {2}at: .*fixtures\/program\.ts:\d+:\d+\n {2}fix: .*\n$/,
    );
  });

  test('what is no error has no place', async () => {
    const { child, text } = start(fixture, ['stray', 'nothing']);
    expect(await exitOf(child)).toBe(1);
    expect(text.stderr).toMatch(/^error: .*: left alone\n {2}fix: /);
  });

  test('a promise that is never settled ends the run with 1', async () => {
    const { child, text } = start(fixture, ['stray', 'promise']);
    expect(await exitOf(child)).toBe(1);
    expect(text.stderr).toMatch(/^error: the run waits for something that can never happen\n {2}fix: /);
  });

  test('after the run it ends the process', async () => {
    const { child, text } = start(fixture, ['stray', 'late']);
    expect(await exitOf(child)).toBe(1);
    expect(text.stderr).toContain('left alone');
  });
});

test.each([
  [0, 1],
  [7, 7],
])('process.exit(%d) amid a run is told, and ends with %d', async (code, seen) => {
  const { child, text } = start(fixture, ['exit', String(code)]);
  expect(await exitOf(child)).toBe(seen);
  expect(text.stderr).toMatch(/^error: the process exited before the run had ended, with exit code \d\n {2}fix: /);
});

test('--help of demo is no run that is cut off', async () => {
  const { child, text } = start('src/cli/main.ts', ['demo', '--help']);
  expect(await exitOf(child)).toBe(0);
  expect(text.stderr).toBe('');
});

test('the program itself: bad usage tells what and where, with exit code 2', async () => {
  const { child, text } = start('src/cli/main.ts', ['score', '--modle', 'x']);
  expect(await exitOf(child)).toBe(2);
  expect(text.stdout).toBe('');
  expect(text.stderr).toContain('did you mean --model? → at --modle');
  expect(text.stderr).not.toContain('.ts:');
});

test('what --help loads: commander and nothing else that is installed', () => {
  expect(packagesLoadedBy(join(root, 'src/cli/main.ts'))).toEqual(['commander']);
});

/** Packages that a module imports at once, directly or through modules of ours; `import()` is left out. */
function packagesLoadedBy(entry: string): string[] {
  const packages = new Set<string>();
  const modules = new Set<string>();
  const visit = (path: string) => {
    if (modules.has(path)) return;
    modules.add(path);
    const statements = readFileSync(path, 'utf8').matchAll(/^(?:import|export) (?!type )[^;]*? from '([^']+)';/gm);
    for (const [, name] of statements) {
      if (name!.startsWith('.')) visit(resolve(dirname(path), name!));
      else if (!name!.startsWith('node:')) packages.add(name!);
    }
  };
  visit(entry);
  expect(modules.size).toBeGreaterThan(10);
  return [...packages].sort();
}
