import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
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
    expect(text.stderr).toContain(`${signal}: stopping in good order`);
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

test('a closed pipe does not end a run', async () => {
  const { child, text } = start(fixture, ['chatter']);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  expect(await exitOf(child)).toBe(0);
  expect(text.stderr).toBe('went on to the end\n');
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
