import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type OpenFaults, openRegularFile, openRegularFileSync } from '../../src/util/regular_file.ts';

const folder = mkdtempSync(join(tmpdir(), 'sightline-regular-'));
afterAll(() => rmSync(folder, { recursive: true }));

const faults: OpenFaults = {
  missing: (cause) => new Error('missing', { cause }),
  unreadable: (cause) => new Error('unreadable', { cause }),
  notRegular: (kind) => new Error(`not regular: ${kind}`),
};

test('a regular file is opened, with its size', async () => {
  const path = join(folder, 'file');
  writeFileSync(path, 'abc');
  const { fd, size } = openRegularFileSync(path, faults);
  closeSync(fd);
  const file = await openRegularFile(path, faults);
  expect((await file.handle.readFile()).toString()).toBe('abc');
  await file.handle.close();
  expect([size, file.size]).toEqual([3, 3]);
});

test('anything else is the fault that the caller makes', async () => {
  writeFileSync(join(folder, 'plain'), '');
  for (const [path, message] of [
    [join(folder, 'nowhere'), 'missing'],
    [join(folder, 'plain', 'below'), 'missing'],
    ['a\0b', 'unreadable'],
    [folder, 'not regular: a folder'],
  ] as const) {
    expect(() => openRegularFileSync(path, faults)).toThrow(message);
    await expect(openRegularFile(path, faults)).rejects.toThrow(message);
  }
});

test.skipIf(process.platform === 'win32')('a named pipe without a writer is refused at once', async () => {
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  expect(() => openRegularFileSync(path, faults)).toThrow('not regular: a pipe, socket or device');
  await expect(openRegularFile(path, faults)).rejects.toThrow('not regular: a pipe, socket or device');
});
