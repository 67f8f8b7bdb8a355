import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { AppendFile } from '../../src/util/append_file.ts';
import { writeFileAtomically } from '../../src/util/atomic_write.ts';
import { formatDuration, formatShortDuration } from '../../src/util/duration.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const broken = vi.hoisted(() => ({ after: Number.POSITIVE_INFINITY }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  // a disk with room for `after` more bytes
  const writeSync = (fd: number, bytes: Uint8Array, offset: number): number => {
    const room = Math.min(bytes.length - offset, broken.after);
    if (room === 0) throw new Error('ENOSPC: no space left on device');
    broken.after -= room;
    return fs.writeSync(fd, bytes, offset, room);
  };
  return { ...fs, writeSync };
});

const folder = temporaryFolder();

describe('AppendFile', () => {
  test('a record that does not fit leaves nothing behind and comes later', () => {
    const path = join(folder, 'log');
    const file = new AppendFile(path);
    file.append('one\n');
    broken.after = 2;
    expect(() => file.append('two\n')).toThrow('ENOSPC');
    expect(readFileSync(path, 'utf8')).toBe('one\n');
    expect(file.waiting).toBe(1);
    broken.after = Number.POSITIVE_INFINITY;
    file.append('three\n');
    file.close();
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\nthree\n');
  });

  test('goes on at the end of what is there', () => {
    const path = join(folder, 'more');
    writeFileSync(path, 'a\n');
    const file = new AppendFile(path);
    file.append('b\n');
    file.close();
    expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
  });
});

test('writeFileAtomically replaces the whole file and leaves no other', () => {
  const inside = join(folder, 'atomic');
  mkdirSync(inside);
  writeFileAtomically(join(inside, 'x'), 'old, longer');
  writeFileAtomically(join(inside, 'x'), 'new');
  expect(readFileSync(join(inside, 'x'), 'utf8')).toBe('new');
  mkdirSync(join(inside, 'taken'));
  expect(() => writeFileAtomically(join(inside, 'taken'), 'y')).toThrow();
  expect(readdirSync(inside).sort()).toEqual(['taken', 'x']);
});

test.each([
  [0, '0s'],
  [59.6, '1m 0s'],
  [3599, '59m 59s'],
  [3600, '1h 0m 0s'],
  [90_061, '1d 1h 1m 1s'],
])('formatDuration(%d) = %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test('formatShortDuration', () => {
  expect([0.04, 1.55, 59.94, 59.96, 3600].map(formatShortDuration)).toEqual([
    '0.0s',
    '1.6s',
    '59.9s',
    '1m 0s',
    '1h 0m 0s',
  ]);
});
