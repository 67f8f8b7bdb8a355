import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const log = readFileSync(join(root, 'codex_dev.log'), 'utf8');

const isoTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;
const entryForm =
  /^## \[TIMESTAMP\] (?<time>\S+)\n### File: (?<file>\S+)\n### Action: (?<action>Create|Modify)\n### Description: (?<description>\S[^\n]*(?:\n(?!###)[^\n]*)*)\n### Code:\n```[a-z]*\n(?<code>[\s\S]*?\S[\s\S]*?)\n```\n---\n*$/;

/** What is wrong with a log of this form, one line a fault. */
function faults(text: string): string[] {
  const found: string[] = [];
  const blocks = text.split(/^(?=## \[TIMESTAMP\])/m);
  if (blocks[0]!.trim() !== '' && !blocks[0]!.startsWith('## [TIMESTAMP]')) found.push('text before the first entry');
  const entries = blocks.filter((block) => block.startsWith('## [TIMESTAMP]'));
  let last = Number.NEGATIVE_INFINITY;
  const files = new Set<string>();
  for (const [i, block] of entries.entries()) {
    const [head] = block.split('\n', 1) as [string];
    const summary = /^## \[TIMESTAMP\] (?:(\S+) )?SUMMARY$/.exec(head);
    const entry = entryForm.exec(block)?.groups;
    const time = summary ? summary[1] : entry?.time;
    if (!summary && !entry) found.push(`not of the form: ${head}`);
    if (summary && !/\S/.test(block.slice(head.length))) found.push('an empty SUMMARY');
    if (summary && i !== entries.length - 1 && !entries.slice(i + 1).some(isSummary))
      found.push('entries after SUMMARY');
    if (time !== undefined) {
      if (!isoTime.test(time) || Number.isNaN(Date.parse(time))) found.push(`no ISO 8601 time: ${time}`);
      if (Date.parse(time) < last) found.push(`out of order: ${time}`);
      last = Date.parse(time);
    }
    if (entry) {
      if (!existsSync(join(root, entry.file!))) found.push(`no such file: ${entry.file}`);
      if (!files.has(entry.file!) && entry.action !== 'Create')
        found.push(`modified before it was created: ${entry.file}`);
      files.add(entry.file!);
    }
  }
  if (!entries.length || !isSummary(entries.at(-1)!)) found.push('does not end with a SUMMARY');
  return found;
}

const isSummary = (block: string) => /^## \[TIMESTAMP\] (?:\S+ )?SUMMARY\n/.test(block);

describe('codex_dev.log', () => {
  test('has the form of the log, times in order, files that exist, and ends with a summary', () => {
    expect(faults(log)).toEqual([]);
  });

  test('tells of the reward plugin and of the attention switch', () => {
    for (const file of ['examples/train/grpo/plugin/plugin.ts', 'src/attention/implementation.ts']) {
      expect(log).toContain(`### File: ${file}\n### Action: Create\n`);
    }
  });

  test.each([
    ['a time that is none', (text: string) => text.replace(/\] \d{4}-\d{2}/, '] soon-'), /not of the form|no ISO/],
    ['times out of order', (text: string) => text.replace(/\] 20\d{2}/, '] 2999'), /out of order/],
    ['another action', (text: string) => text.replace('### Action: Create', '### Action: Delete'), /not of the form/],
    ['code without a fence', (text: string) => text.replace('```\n---', '---'), /not of the form/],
    ['a file that is gone', (text: string) => text.replace('/plugin.ts\n', '/gone.ts\n'), /no such file/],
    ['no summary', (text: string) => text.slice(0, text.lastIndexOf('## [TIMESTAMP]')), /does not end with a SUMMARY/],
  ])('the check notices %s', (_, spoil, message) => {
    expect(spoil(log)).not.toBe(log);
    expect(faults(spoil(log)).join('\n')).toMatch(message);
  });
});
