import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
const fixtures = fileURLToPath(new URL('./fixtures', import.meta.url));

/** Exit status and last line of a run of the fixtures whose name contains `name`. */
function run(name: string): { status: number | null; line: string | undefined } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('VITEST')));
  const { status, stdout } = spawnSync(process.execPath, [vitest, 'run', '--root', fixtures, name], {
    encoding: 'utf8',
    env,
  });
  return { status, line: stdout.trimEnd().split('\n').at(-1) };
}

test('only successes', () => {
  expect(run('passing')).toEqual({ status: 0, line: '3 passed, 0 failed' });
});

test('a failed test, a hook that throws and what neither passed nor failed', () => {
  expect(run('outcomes')).toEqual({ status: 1, line: '2 passed, 2 failed, 2 skipped' });
});

test('a file that cannot be loaded is a failure, not fewer tests', () => {
  expect(run('unreadable')).toEqual({ status: 1, line: '0 passed, 1 failed' });
});
