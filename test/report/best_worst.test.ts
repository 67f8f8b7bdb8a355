/**
 * The table of the best and the worst completion of a step.
 */
import { expect, test } from 'vitest';
import { bestWorstTable } from '../../src/report/best_worst.ts';
import { cutColumns } from '../../src/report/text.ts';
import type { CompletionRow } from '../../src/train/events.ts';
import { rowOrigin } from './events.ts';

const row = (completion: string, rewards: CompletionRow['rewards']): CompletionRow => ({
  row: rowOrigin(),
  prompt: 'what?',
  completion,
  rewards,
  advantage: 0,
  extras: {},
});

const rows = [
  row('middle', { accuracy: 1, format: 0 }),
  row('without', { accuracy: null, format: null }),
  row('low', { accuracy: 0, format: 0.25 }),
  row('high', { accuracy: 1, format: 0.5 }),
];
const options = { count: 2, rewardWeights: undefined, columns: 80 };

test('rewards are summed, points stand below one another, completions without a reward are not compared', () => {
  expect(bestWorstTable(3, rows, options)).toEqual([
    'step 3, 4 completions',
    '       reward  accuracy  format  completion',
    'best     1.5          1    0.5   high',
    'worst    0.25         0    0.25  low',
  ]);
});

test('weights decide', () => {
  const [, , best, worst] = bestWorstTable(3, rows, { ...options, rewardWeights: [-1, 0] });
  expect([best, worst].map((line) => line!.split(/\s+/).at(-1))).toEqual(['low', 'high']);
});

test('count bounds what is shown', () => {
  expect(bestWorstTable(3, rows, { ...options, count: 1 })).toHaveLength(3);
  expect(bestWorstTable(3, rows, { ...options, count: 0 })).toEqual([]);
  expect(bestWorstTable(3, [rows[1]!], options)).toEqual([]);
});

test('equal rewards give one line', () => {
  expect(bestWorstTable(3, [rows[0]!, rows[0]!], options).slice(2)).toEqual([
    'equal       1         1       0  middle',
  ]);
});

test.each([40, 60])('in %d columns rewards give way to the text, and no line is longer', (columns) => {
  const long = rows.map((each) => ({ ...each, completion: '红色 and\nblue '.repeat(20) }));
  const table = bestWorstTable(3, long, { ...options, columns });
  expect(table[1]).toMatch(/^ +reward {2}.*completion$/);
  expect(table[2]).toContain('红色 and ⏎ blue');
  for (const line of table) expect(cutColumns(line, columns - 1)).toBe(line);
});

test('a character of East Asia takes two columns', () => {
  expect(cutColumns('红色蓝', 6)).toBe('红色蓝');
  expect(cutColumns('红色蓝', 5)).toBe('红色…');
  expect(cutColumns('abcdef', 5)).toBe('abcd…');
});
