import { expect, test } from 'vitest';
import { blocksOf } from './page.ts';

const fence = '```';
const page = (...lines: string[]): string => lines.join('\n');

test('commands, files and other blocks, with their lines', () => {
  expect(
    blocksOf(
      page(
        '# Title',
        `${fence}sh`,
        'ls \\',
        '  -l',
        fence,
        '',
        `${fence}ts title="mine.ts"`,
        'export {};',
        fence,
        `   ${fence}text`,
        '   out',
        '     deeper',
        `   ${fence}`,
      ),
    ),
  ).toEqual([
    { kind: 'commands', line: 2, text: 'ls \\\n  -l', run: { kind: 'ends', exitCode: 0 } },
    { kind: 'file', line: 7, text: 'export {};\n', name: 'mine.ts' },
    { kind: 'shown', line: 10, text: 'out\n  deeper', language: 'text' },
  ]);
});

test('comments say how commands are run', () => {
  const runOf = (...comment: string[]) =>
    blocksOf(page(...comment, `${fence}sh`, 'x', fence)).map((block) => block.kind === 'commands' && block.run);
  expect(runOf('<!-- not run: needs a GPU -->')).toEqual([{ kind: 'not run', reason: 'needs a GPU' }]);
  expect(runOf('<!-- exit code: 2 -->', '')).toEqual([{ kind: 'ends', exitCode: 2 }]);
  expect(runOf('   <!-- stopped after: http:// -->')).toEqual([{ kind: 'stopped', after: 'http://' }]);
  expect(runOf('<!-- generated: something else -->')).toEqual([{ kind: 'ends', exitCode: 0 }]);
});

test.each([
  ['a fence without a language', page(fence, 'ls', fence), /line 1: the block has no language/],
  ['another name for a shell', page(`${fence}bash`, 'ls', fence), /line 1: .* language sh/],
  ['a fence without an end', page('', `${fence}sh`, 'ls'), /line 2: the block has no end/],
  ['no reason', page('<!-- not run -->', `${fence}sh`, 'ls', fence), /line 1: expected "not run: ..."/],
  ['an exit code that is no number', page('<!-- exit code: bad -->', `${fence}sh`, 'ls', fence), /line 1: .* number/],
  ['a comment before text', page('<!-- not run: x -->', 'text', `${fence}sh`, 'ls', fence), /line 1: no commands/],
  ['a comment at the end', page('<!-- not run: x -->'), /line 1: no commands/],
  ['a comment before a file', page('<!-- not run: x -->', `${fence}json`, '{}', fence), /line 2: .* for commands/],
  ['other words after the language', page(`${fence}sh`, fence, `${fence}ts x`, fence), /line 3: expected title/],
])('refuses %s', (_, text, message) => {
  expect(() => blocksOf(text)).toThrow(message);
});
