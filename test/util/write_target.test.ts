import { execFileSync } from 'node:child_process';
import { closeSync, lstatSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeFileAtomically } from '../../src/util/atomic_write.ts';
import { writeTarget } from '../../src/util/write_target.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

test('a file, also one that is not there yet, is where links lead to', () => {
  mkdirSync(at('real'));
  symlinkSync('real', at('folder link'));
  symlinkSync('folder link/later', at('link'));
  symlinkSync('link', at('link to it'));
  for (const name of ['real/later', 'folder link/later', 'link', 'link to it']) {
    expect(writeTarget(at(name)), name).toEqual({ kind: 'file', path: at('real/later'), descriptor: null });
  }
  symlinkSync('circle', at('circle'));
  expect(() => writeTarget(at('circle'))).toThrow('ELOOP');
  expect(() => writeTarget(at('nowhere/file'))).toThrow('ENOENT');
});

test('what is no file is written as it is', () => {
  expect(writeTarget(folder)).toMatchObject({ kind: 'folder' });
  execFileSync('mkfifo', [at('pipe')]);
  symlinkSync('pipe', at('pipe link'));
  expect(writeTarget(at('pipe link'))).toEqual({ kind: 'pipe', path: at('pipe'), descriptor: null });
  symlinkSync('/dev/null', at('null'));
  expect(writeTarget(at('null'))).toMatchObject({ kind: 'stream', path: '/dev/null' });
});

test.runIf(process.platform === 'linux')(
  'a descriptor of this process is known, also where a file is behind it',
  () => {
    const fd = openSync(at('open'), 'w');
    symlinkSync(`/dev/fd/${fd}`, at('descriptor'));
    expect(writeTarget(at('descriptor'))).toMatchObject({ kind: 'stream', descriptor: fd });
    closeSync(fd);
  },
);

test('writeFileAtomically writes through a link, and leaves it', () => {
  writeFileSync(at('behind'), 'old');
  symlinkSync('behind', at('before'));
  writeFileAtomically(at('before'), 'new');
  expect(lstatSync(at('before')).isSymbolicLink()).toBe(true);
  expect(readFileSync(at('behind'), 'utf8')).toBe('new');
});
