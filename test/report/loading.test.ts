import { expect, test } from 'vitest';
import { consoleReport } from '../../src/report/console.ts';
import { loadingText } from '../../src/report/loading.ts';
import type { LoadingEvent } from '../../src/train/events.ts';

const total = 7.5e9;
const at = (done: number, of = total): LoadingEvent => ({
  type: 'loading',
  part: 'model',
  dir: 'big',
  done,
  total: of,
});

function shown(live: boolean, events: readonly (readonly [seconds: number, event: LoadingEvent])[]) {
  let now = 0;
  const text = loadingText(live, () => now);
  return events.map(([seconds, event]) => {
    now = 1000 * seconds;
    return text(event);
  });
}

test('a terminal sees how much is read, and how long the rest takes', () => {
  const texts = shown(true, [
    [0, at(0)],
    [5, at(2.5e9)],
    [15, at(total)],
  ]);
  expect(texts).toEqual([
    { bar: 'reading weights of big: 0.00 of 7.50 GB', line: null },
    { bar: 'reading weights of big: 2.50 of 7.50 GB, 10.0s left', line: null },
    { bar: null, line: 'read weights of big: 7.50 GB in 15.0s' },
  ]);
});

test('without one there is a line at the start, one every ten seconds, and one at the end', () => {
  const lines = shown(false, [
    [0, at(0)],
    [4, at(2e9)],
    [9.9, at(4e9)],
    [10, at(5e9)],
    [15, at(total)],
  ]).map(({ line }) => line);
  expect(lines).toEqual([
    'reading weights of big: 0.00 of 7.50 GB',
    null,
    null,
    'reading weights of big: 5.00 of 7.50 GB, 5.0s left',
    'read weights of big: 7.50 GB in 15.0s',
  ]);
});

test('nothing is said of what is read at once, and a slow disk is told after a second', () => {
  const small = 9e7;
  const nothing = { bar: null, line: null };
  for (const live of [true, false]) {
    expect(
      shown(live, [
        [0, at(0, small)],
        [0.1, at(small, small)],
      ]),
    ).toEqual([nothing, nothing]);
  }
  expect(
    shown(false, [
      [0, at(0, small)],
      [2, at(3e7, small)],
    ])[1]!.line,
  ).toBe('reading weights of big: 0.03 of 0.09 GB, 4.0s left');
});

test('a terminal shows it on one line, cut to its width, which goes away when all is read', () => {
  const out: string[] = [];
  const terminal = { isTTY: true, columns: 30, write: (text: string) => out.push(text) };
  const { onEvent } = consoleReport(terminal, { title: '', completionsToPrint: 0, eventFiles: false, env: {} });
  onEvent(at(0));
  onEvent(at(total));
  expect(out[0]).toBe('\r\u001b[2Kreading weights of big: 0.00…');
  expect(out[1]).toBe('\r\u001b[2K');
  expect(out.slice(2).join('')).toMatch(/^read weights of big: 7\.50 GB in [\d.]+s\n$/);
});
