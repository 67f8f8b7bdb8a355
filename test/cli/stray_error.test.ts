import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { strayFault } from '../../src/cli/stray_error.ts';

const own = fileURLToPath(new URL('../../src/train/rlhf.ts', import.meta.url));

function thrown(...frames: string[]): Error {
  const error = new Error('boom');
  error.stack = ['Error: boom', ...frames.map((frame) => `    at ${frame}`)].join('\n');
  return error;
}

test.each([
  ['in a plugin', ['Far.call (/a b/reward.ts:3:5)', `runReward (${own}:10:2)`], '/a b/reward.ts:3:5'],
  ['in a plugin, as a module', ['file:///a%20b/reward.mjs:3:5'], '/a b/reward.mjs:3:5'],
  ['in a package that a plugin calls', ['f (/a/node_modules/x/i.js:1:1)', 'async /a/r.ts:3:5'], '/a/r.ts:3:5'],
  ['in a package alone', ['f (node:net:1:1)', 'f (/a/node_modules/x/i.js:1:1)'], '/a/node_modules/x/i.js:1:1'],
  ['nowhere', ['node:internal/process:1:1', 'Promise.all (index 0)'], undefined],
])('thrown %s, the place is named', (_, frames, where) => {
  expect(strayFault(thrown(...frames))).toMatchObject({ code: 'E_STRAY_ERROR', where, exitCode: 1 });
});

test('what this program throws is a bug of ours', () => {
  expect(strayFault(thrown(`train (${own}:1:1)`, 'f (/a/reward.ts:1:1)'))).toBeNull();
  expect(strayFault(thrown('write (node:fs:1:1)', `train (file://${own}:1:1)`))).toBeNull();
});
