import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFolders } from '../../src/util/make_folders.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const root = temporaryFolder();

test('makes what is missing and says what it made, the deepest first', () => {
  const path = join(root, 'a', 'b', 'c');
  expect(makeFolders(path)).toEqual([path, join(root, 'a', 'b'), join(root, 'a')]);
  expect(makeFolders(path)).toEqual([]);
  symlinkSync('a', join(root, 'link'));
  expect(makeFolders(join(root, 'link', 'd'))).toEqual([join(root, 'link', 'd')]);
});

test("a part of the path that is no folder is the system's error, and nothing is left", () => {
  mkdirSync(join(root, 'files'));
  writeFileSync(join(root, 'files', 'file'), '');
  symlinkSync('nowhere', join(root, 'files', 'dangling'));
  expect(() => makeFolders(join(root, 'files', 'file'))).toThrow('EEXIST');
  expect(() => makeFolders(join(root, 'files', 'file', 'x', 'y'))).toThrow('ENOTDIR');
  expect(() => makeFolders(join(root, 'files', 'dangling'))).toThrow('EEXIST');
  expect(() => makeFolders(join(root, 'files', 'new', 'x'.repeat(300)))).toThrow('ENAMETOOLONG');
  expect(readdirSync(join(root, 'files')).sort()).toEqual(['dangling', 'file']);
});

// Node's own recursive mkdir never returns from this.
test.runIf(existsSync('/proc/version'))('where no folder can be made, it says so', () => {
  expect(() => makeFolders('/proc/sightline/a/b')).toThrow('ENOENT');
});
